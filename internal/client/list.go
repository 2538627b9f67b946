package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
)

// maxPages bounds every list: a server that always names a next page must not hold us for ever.
const maxPages = 10_000

// list turns the pages of a list, by whatever the API names as the next one.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[Body[T], error] {
	return func(yield func(Body[T], error) bool) {
		for range maxPages {
			answer, err := typed[struct {
				Next    *string           `json:"next"`
				Results []json.RawMessage `json:"results"`
			}](c.do(ctx, get(path, query)))
			if err != nil {
				yield(Body[T]{}, err)
				return
			}
			for _, raw := range answer.Value.Results {
				body, err := typed[T](Body[json.RawMessage]{Raw: raw}, nil)
				if !yield(body, err) || err != nil {
					return
				}
			}
			if answer.Value.Next == nil {
				return
			}
			if query, err = nextQuery(*answer.Value.Next); err != nil {
				yield(Body[T]{}, err)
				return
			}
		}
		yield(Body[T]{}, fmt.Errorf("the list has more than %d pages", maxPages))
	}
}

// nextQuery takes the query of the next page's address and nothing else of it: behind a proxy its host may be one that
// we cannot reach, and the key is for nobody but the base.
func nextQuery(address string) (url.Values, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address of the next page is malformed: %w", err)
	}
	return u.Query(), nil
}

// Collect reads a list up to limit; zero = all of it. More says that there would have been more.
func Collect[T any](items iter.Seq2[Body[T], error], limit int) (all []Body[T], more bool, err error) {
	for item, err := range items {
		if err != nil {
			return all, false, err
		}
		if limit > 0 && len(all) == limit {
			return all, true, nil
		}
		all = append(all, item)
	}
	return all, false, nil
}
