// Package migrate has tests that use other registries, as they are before a
// migration to this one. The pages in docs/migrate quote these tests. The
// package also checks the differences that the pages list.
package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The functions in this file are the code under test, as in
// registrytest/migrate_test.go.

// sizeOf returns the size of an image's layers.
func sizeOf(client *http.Client, url string) (size int64, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New(resp.Status)
	}
	var m ocispec.Manifest
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		return 0, err
	}
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, nil
}

// login reports whether a registry accepts the name and the password.
func login(client *http.Client, url, name, password string) (bool, error) {
	req, err := http.NewRequest(http.MethodGet, url+"/v2/", nil)
	if err != nil {
		return false, err
	}
	req.SetBasicAuth(name, password)
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// download returns the body of a response. If the connection is cut, it asks for
// the rest.
func download(client *http.Client, url string) (all []byte, err error) {
	for range 10 {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", len(all)))
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		part, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusPartialContent {
			return nil, errors.New(resp.Status)
		}
		if all = append(all, part...); err == nil {
			return all, nil
		}
	}
	return nil, errors.New("the connection was cut ten times")
}

// digestOf returns the digest of a tag. It asks once more after a 503.
func digestOf(client *http.Client, url string) (digest.Digest, error) {
	for range 2 {
		resp, err := client.Get(url)
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		switch {
		case err != nil:
			return "", err
		case resp.StatusCode == http.StatusOK:
			return digest.FromBytes(body), nil
		case resp.StatusCode != http.StatusServiceUnavailable:
			return "", errors.New(resp.Status)
		}
	}
	return "", errors.New("the registry is unavailable")
}
