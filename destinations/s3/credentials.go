package s3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/uuid"

	"tranche/batch"
	"tranche/destinations"
)

// Limits of roles.
const (
	sessionLife = time.Hour
	// sessionReserve is how long before its end a session is replaced.
	sessionReserve = 5 * time.Minute
)

// A role is a customer's, assumed for an hour at a time. Its external id is ours to choose, never the customer's: it
// keeps one customer from naming the role of another.
type role struct {
	server     Server
	place      place
	web        *http.Client
	patience   patience
	externalID string
	name       string // of its sessions
	policy     string
}

func (s Server) roleOf(owner destinations.Owner, p place, web *http.Client, patience patience) (*role, error) {
	if owner.TeamID == 0 {
		return nil, batch.Errorf(batch.CodeInternal, nil, "nobody is named for whom the role is assumed")
	}
	policy, err := p.sessionPolicy()
	if err != nil {
		return nil, err
	}
	r := &role{server: s, place: p, web: web, patience: patience, externalID: externalID(owner), name: "tranche-batch-exports-test", policy: policy}
	if owner.ExportID != uuid.Nil {
		r.name = "tranche-batch-exports-" + owner.ExportID.String()
	}
	return r, nil
}

// externalID is what a customer's role must demand.
func externalID(owner destinations.Owner) string {
	return fmt.Sprintf("tranche-project-%d", owner.TeamID)
}

// session keeps the role assumed.
func (r *role) session() aws.CredentialsProvider {
	return aws.NewCredentialsCache(r, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = sessionReserve })
}

// Retrieve is the aws.CredentialsProvider's. It has patience with roles that were just made.
func (r *role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	for try := 1; ; try++ {
		c, err := r.assume(ctx)
		code := batch.CodeOf(err)
		if err == nil || try == r.patience.roleTries || code != batch.CodePermission && code != batch.CodeCredentials || errors.Is(err, errOpenRole) {
			return c, err
		}
		wait := time.NewTimer(min(time.Second<<try, r.patience.backoff))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return c, err
		}
	}
}

// errOpenRole is a role that anybody may assume who is trusted with the roles of others.
var errOpenRole = errors.New("the role does not demand its external id")

// assume assumes the customer's role, once it is sure that it demands the external id.
func (r *role) assume(ctx context.Context) (aws.Credentials, error) {
	identity := r.server.Credentials
	if r.server.Role != "" {
		ours, err := r.assumeOurs(ctx)
		if err != nil {
			return aws.Credentials{}, err
		}
		identity = credentials.NewStaticCredentialsProvider(ours.AccessKeyID, ours.SecretAccessKey, ours.SessionToken)
	}
	in := &sts.AssumeRoleInput{
		RoleArn: &r.place.role, RoleSessionName: &r.name, Policy: &r.policy,
		DurationSeconds: aws.Int32(int32(sessionLife.Seconds())), ExternalId: aws.String("tranche-nobody-" + rand.Text()),
	}
	_, err := r.call(ctx, identity, in)
	if err == nil {
		return aws.Credentials{}, batch.Errorf(batch.CodeCredentials, errOpenRole,
			"the role can be assumed without its external id: its trust policy must demand the external id %q", r.externalID)
	}
	if batch.CodeOf(err) != batch.CodePermission {
		return aws.Credentials{}, err
	}
	in.ExternalId = &r.externalID
	c, err := r.call(ctx, identity, in)
	if batch.CodeOf(err) == batch.CodePermission {
		err = batch.Errorf(batch.CodePermission, err,
			"the role cannot be assumed: its trust policy must trust this server's identity, with the external id %q", r.externalID)
	}
	return c, err
}

// assumeOurs assumes the server's role with the right to assume nothing but the customer's.
func (r *role) assumeOurs(ctx context.Context) (aws.Credentials, error) {
	policy, err := policyOf(statement{Effect: allow, Action: []string{"sts:AssumeRole"}, Resource: []string{r.place.role}})
	if err != nil {
		return aws.Credentials{}, err
	}
	return r.call(ctx, r.server.Credentials, &sts.AssumeRoleInput{
		RoleArn: &r.server.Role, RoleSessionName: &r.name, Policy: &policy, DurationSeconds: aws.Int32(int32(sessionLife.Seconds())),
	})
}

func (r *role) call(ctx context.Context, identity aws.CredentialsProvider, in *sts.AssumeRoleInput) (aws.Credentials, error) {
	options := sts.Options{Region: r.place.Region, Credentials: identity, HTTPClient: r.web, AppID: appID}
	if r.patience.attended {
		options.Retryer = r.patience.retryer()
	}
	if r.server.stsURL != "" {
		options.BaseEndpoint = &r.server.stsURL
	}
	out, err := sts.New(options).AssumeRole(ctx, in)
	if err != nil {
		return aws.Credentials{}, classify(err, "the role")
	}
	c := out.Credentials
	return aws.Credentials{
		AccessKeyID: aws.ToString(c.AccessKeyId), SecretAccessKey: aws.ToString(c.SecretAccessKey), SessionToken: aws.ToString(c.SessionToken),
		CanExpire: true, Expires: aws.ToTime(c.Expiration), Source: "role",
	}, nil
}

// A statement is one of an IAM policy.
type statement struct {
	Effect   string
	Action   []string
	Resource []string
}

const allow = "Allow"

func policyOf(statements ...statement) (string, error) {
	policy, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	return string(policy), err
}

// sessionPolicy allows what exports do to this bucket below this prefix, and nothing else that the role may do.
func (p place) sessionPolicy() (string, error) {
	partition := strings.Split(p.role, ":")[1]
	bucket := fmt.Sprintf("arn:%s:s3:::%s", partition, p.BucketName)
	prefix, _, _ := strings.Cut(p.Prefix, "{") // what variables make of the rest, differs
	objects := bucket + "/" + strings.NewReplacer("*", "?", "$", "?").Replace(strings.TrimLeft(prefix, "/")) + "*"
	statements := []statement{
		{allow, []string{"s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject", "s3:DeleteObject"}, []string{objects}},
		{allow, []string{"s3:ListBucket"}, []string{bucket}},
	}
	if valueOf(p.Method) == kms {
		statements = append(statements, statement{allow, []string{"kms:GenerateDataKey", "kms:Decrypt"}, []string{p.keyARN(partition)}})
	}
	return policyOf(statements...)
}

// keyARN names the key of the encryption. One without an account is in the account of the role and the region of the
// bucket; for an alias, and the account's own key, IAM must judge all keys there.
func (p place) keyARN(partition string) string {
	key, account := valueOf(p.KMSKey), strings.Split(p.role, ":")[4]
	switch {
	case strings.HasPrefix(key, "arn:") && !strings.Contains(key, ":alias/"):
		return key
	case key == "" || strings.Contains(key, "alias/"):
		return fmt.Sprintf("arn:%s:kms:%s:*:key/*", partition, p.Region)
	}
	return fmt.Sprintf("arn:%s:kms:%s:%s:key/%s", partition, p.Region, account, strings.TrimPrefix(key, "key/"))
}
