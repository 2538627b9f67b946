package api

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"tranche/batch"
	"tranche/internal/auth"
)

// maxHops is how many elements of X-Forwarded-For are looked at.
const maxHops = 32

// clientAddress is the IP address of whoever made the request. Behind trusted proxies it is the last one in
// X-Forwarded-For that is not theirs: what stands before it is the client's own word.
func (s *Server) clientAddress(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for range maxHops {
		if len(hops) == 0 || !s.trusts(address) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hops[len(hops)-1]))
		if err != nil {
			break
		}
		address, hops = next.Unmap().WithZone(""), hops[:len(hops)-1]
	}
	return address.String()
}

// sign says in the request's context who makes it, for the audit log.
func (s *Server) sign(c *gin.Context, key auth.Key) {
	act := batch.Act{Actor: batch.Actor{
		Kind: batch.ActorUser, UserID: key.UserID, KeyID: key.ID, KeyPrefix: key.Prefix,
		Address: s.clientAddress(c.Request), RequestID: c.GetString(requestIDKey),
	}}
	c.Request = c.Request.WithContext(batch.WithAct(c.Request.Context(), act))
}
