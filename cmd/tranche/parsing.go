package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tranche/batch"
	"tranche/internal/service"
)

// Errors of settings never quote the value: it may be a secret.

func notEmpty(v string) error {
	if strings.TrimSpace(v) == "" {
		return errors.New("must not be blank")
	}
	return nil
}

func oneOf(v string, choices ...string) error {
	for _, c := range choices {
		if v == c {
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(choices, ", "))
}

func urlOf(v string, schemes ...string) error {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" {
		return fmt.Errorf("must be a URL that begins with %s://", schemes[0])
	}
	if oneOf(u.Scheme, schemes...) != nil {
		return fmt.Errorf("must be a URL that begins with %s://", strings.Join(schemes, ":// or "))
	}
	return nil
}

// sourceOf checks what can be known of a source's address without connecting.
func sourceOf(v string) error {
	source, err := service.OpenSource(v, nil)
	if err != nil {
		return errors.New(batch.MessageOf(err))
	}
	return source.Close()
}

func hostPort(v string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return errors.New("must be host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("must end with a port number")
	}
	return nil
}

func number(into *int, v string, least, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return fmt.Errorf("must be a whole number from %d to %d", least, most)
	}
	*into = n
	return nil
}

func duration(into *time.Duration, v string, least time.Duration) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < least {
		return fmt.Errorf("must be a duration such as 90s, 15m or 24h, at least %s", least)
	}
	*into = d
	return nil
}

func freshness(into *batch.Freshness, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 1 && f <= 1000) {
		return errors.New("must be a number from 1 to 1000")
	}
	*into = batch.Freshness(f)
	return nil
}

func ratio(into *float64, v string) error {
	r, err := strconv.ParseFloat(v, 64)
	if err != nil || !(r >= 0 && r <= 1) {
		return errors.New("must be a number from 0 to 1")
	}
	*into = r
	return nil
}

func prefixes(v string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, part := range strings.Split(v, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, errors.New("must be networks such as 10.0.0.0/8, comma separated")
		}
		all = append(all, p)
	}
	return all, nil
}
