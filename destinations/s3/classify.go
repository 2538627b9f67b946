package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"tranche/batch"
	"tranche/destinations/objects/uploads"
)

// A meaning is what an error of the S3 protocol, or of STS, tells the customer.
type meaning struct {
	code    batch.Code
	message string
	names   []string // the protocol's
}

// meanings are the errors that we know, by who must act.
var meanings = []meaning{
	{batch.CodeNotFound, "it does not exist", []string{"NoSuchBucket"}},
	{batch.CodePermission, notAllowed, []string{
		"AccessDenied", "AccessDeniedException", "Forbidden", "AllAccessDisabled", "UnauthorizedAccess", "UnauthorizedAccessException", "AuthorizationError",
	}},
	{batch.CodePermission, "the account of the bucket is closed or not signed up", []string{"AccountProblem", "NotSignedUp", "InvalidPayer"}},
	{batch.CodeCredentials, "the access key id is not known there", []string{
		"InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidSecurity", "MissingAuthenticationToken",
	}},
	{batch.CodeCredentials, "the secret access key does not belong to the access key id", []string{"SignatureDoesNotMatch"}},
	{batch.CodeCredentials, "the credentials are not valid", []string{"InvalidToken", "TokenRefreshRequired", "AuthFailure", "Unauthorized", "CredentialsNotSupported"}},
	{batch.CodeUnavailable, "the session has expired", []string{"ExpiredToken", "ExpiredTokenException", "RequestExpired"}},
	{batch.CodeInternal, "the clock of this server is wrong", []string{"RequestTimeTooSkewed", "RequestInTheFuture"}},
	{batch.CodeThrottled, "it asks us to slow down", []string{
		"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "TooManyRequests",
		"TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "RequestThrottledException", "KMS.ThrottlingException",
	}},
	{batch.CodeTimeout, "it waited too long for us", []string{"RequestTimeout", "RequestTimeoutException"}},
	{batch.CodeUnavailable, "it has an outage", []string{
		"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "ServiceFailure", "Busy", "ServerBusy", "XMinioServerNotInitialized",
	}},
	{batch.CodeUnavailable, "somebody else changes the same file now", []string{"OperationAborted", "ConditionalRequestConflict"}},
	{batch.CodeUnavailable, "data was damaged on its way", []string{
		"BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "ContentSHA256Mismatch",
	}},
	{batch.CodeVerification, "it has lost parts of what was staged", []string{"InvalidPart", "InvalidPartOrder"}},
	{batch.CodeNoSpace, "it is full", []string{
		"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "StorageFull", "InsufficientStorage", "InsufficientCapacity", "StorageQuotaExceeded",
	}},
	{batch.CodeConfig, "it is in another region, or at another endpoint", []string{
		"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "IncorrectEndpoint", "AuthorizationQueryParametersError", "MovedPermanently",
	}},
	{batch.CodeUnavailable, "it is being moved", []string{"TemporaryRedirect", "Redirect"}},
	{batch.CodeConfig, "its name is not valid", []string{"InvalidBucketName", "InvalidURI"}},
	{batch.CodeConfig, "the prefix makes a name that it does not take", []string{"KeyTooLongError", "XMinioInvalidObjectName", "InvalidObjectName", "XMinioInvalidResourceName"}},
	{batch.CodeConfig, "the file is too large for it: set max_file_size_mb", []string{"EntityTooLarge", "MaxMessageLengthExceeded"}},
	{batch.CodeConfig, "its state does not allow it", []string{"InvalidBucketState", "ObjectLockConfigurationNotFoundError", "InvalidObjectState", "MethodNotAllowed"}},
	{batch.CodeConfig, "the encryption is not supported", []string{"InvalidEncryptionAlgorithmError", "ServerSideEncryptionConfigurationNotFoundError", "InsecureSSECustomerRequest"}},
	{batch.CodeConfig, "it does not speak the protocol that exports need", []string{"NotImplemented", "UnsupportedOperation"}},
	{batch.CodeConfig, "it does not take the request", []string{
		"InvalidArgument", "InvalidRequest", "MalformedXML", "ValidationError", "MalformedPolicyDocument", "PackedPolicyTooLarge", "InvalidParameterValue",
	}},
	{batch.CodeConfig, "AWS STS is not active in the region", []string{"RegionDisabledException"}},
}

// notAllowed is what a policy refuses.
const notAllowed = "the credentials do not allow it"

// rights are what policies call the requests that we make.
var rights = map[string]string{
	"CreateMultipartUpload": "s3:PutObject", "UploadPart": "s3:PutObject", "CompleteMultipartUpload": "s3:PutObject", "PutObject": "s3:PutObject",
	"AbortMultipartUpload": "s3:AbortMultipartUpload", "HeadObject": "s3:GetObject", "GetObject": "s3:GetObject", "DeleteObject": "s3:DeleteObject",
	"HeadBucket": "s3:ListBucket", "AssumeRole": "sts:AssumeRole",
}

// missing names the right that a refused request needs: many stores do not.
func missing(message string, err error) string {
	e, ok := errors.AsType[*smithy.OperationError](err)
	if !ok || message != notAllowed || rights[e.OperationName] == "" {
		return ""
	}
	return ", " + rights[e.OperationName] + " is missing"
}

// kmsErrors are those of a key: "KMS.DisabledException", "kms:KeyNotFound".
const kmsErrors = "kms"

// found are the conditions that a delivery goes on from.
var found = map[string]error{
	"NoSuchUpload":       uploads.ErrNoUpload,
	"NoSuchKey":          uploads.ErrNoObject,
	"NotFound":           uploads.ErrNoObject,
	"PreconditionFailed": uploads.ErrOtherVersion,
}

// maxQuote is how much of a vendor's text is shown.
const maxQuote = 300

// classify says whose fault an error is that the bucket answered, or that kept it from answering.
func (s *store) classify(err error) error {
	if s.aws && unknownHost(err) {
		return batch.Errorf(batch.CodeConfig, err, "bucket %q: AWS has no region %q", s.bucket, s.region)
	}
	return classify(err, fmt.Sprintf("bucket %q", s.bucket))
}

// classifyBucket is classify for requests about the bucket itself.
func (s *store) classifyBucket(err error) error {
	err = s.classify(err)
	if errors.Is(err, uploads.ErrNoObject) {
		return batch.Errorf(batch.CodeNotFound, err, "bucket '%s' does not exist or we don't have permissions to use it", s.bucket)
	}
	return err
}

// classify says whose fault an error is; what names the thing for the customer.
func classify(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*batch.Error](err); known {
		return err
	}
	if ended(err) {
		return err
	}
	answer, answered := errors.AsType[smithy.APIError](err)
	if answered {
		if condition, ok := found[answer.ErrorCode()]; ok {
			return fmt.Errorf("%w: %w", condition, err)
		}
		if m, ok := meaningOf(answer.ErrorCode()); ok {
			return batch.Errorf(m.code, err, "%s: %s%s%s", what, m.message, missing(m.message, err), quote(answer))
		}
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.HTTPStatusCode() >= http.StatusMultipleChoices {
		code, message := statusMeaning(response.HTTPStatusCode())
		return batch.Errorf(code, err, "%s: %s%s (%d%s)", what, message, missing(message, err), response.HTTPStatusCode(), quoteOf(answer))
	}
	return classifyConnection(err, what)
}

// ended says that a context was over. The time for a connection is another: it looks the same, and is the network's.
func ended(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !network
}

func meaningOf(name string) (meaning, bool) {
	for _, m := range meanings {
		if slices.Contains(m.names, name) {
			return m, true
		}
	}
	if strings.HasPrefix(strings.ToLower(name), kmsErrors) {
		return meaning{code: batch.CodePermission, message: "its KMS key cannot be used"}, true
	}
	return meaning{}, false
}

// statusMeaning is for answers without an error that we know.
func statusMeaning(status int) (batch.Code, string) {
	switch {
	case status == http.StatusUnauthorized:
		return batch.CodeCredentials, "the credentials are not valid"
	case status == http.StatusForbidden:
		return batch.CodePermission, notAllowed
	case status == http.StatusTooManyRequests:
		return batch.CodeThrottled, "it asks us to slow down"
	case status == http.StatusRequestTimeout:
		return batch.CodeTimeout, "it waited too long for us"
	case status == http.StatusInsufficientStorage:
		return batch.CodeNoSpace, "it is full"
	case status >= http.StatusInternalServerError:
		return batch.CodeUnavailable, "it has an outage"
	case status < http.StatusBadRequest:
		return batch.CodeConfig, "it is in another region, or at another endpoint"
	}
	return batch.CodeConfig, "it does not take the request"
}

// quote is what the vendor says, in brackets.
func quote(answer smithy.APIError) string {
	if text := strings.TrimPrefix(quoteOf(answer), ", "); text != "" {
		return " (" + text + ")"
	}
	return ""
}

func quoteOf(answer smithy.APIError) string {
	if answer == nil {
		return ""
	}
	text := strings.ToValidUTF8(strings.Join(strings.Fields(answer.ErrorMessage()), " "), "")
	if text = strings.TrimRight(text, ". "); text == "" {
		return ""
	}
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "") + "…"
	}
	return ", " + text
}
