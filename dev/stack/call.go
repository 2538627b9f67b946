package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// ExportsURL is where the batch exports of project 1 are.
func (s *Stack) ExportsURL() string { return s.URL() + "/api/projects/1/batch_exports" }

// Call makes one request with the stack's key, as its users do. The path is below ExportsURL. In is sent as JSON and the
// answer is read into the last argument; nil = nothing is sent, and the answer is not looked at. An answer that is no
// success is an error with its text.
func (s *Stack) Call(ctx context.Context, method, path string, in, into any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.ExportsURL()+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.Key)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
