package explore

import (
	"encoding/json"
	"errors"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// signatureType is the type of the signatures that verify looks for.
const signatureType = "application/vnd.example.signature"

// verify returns an error unless the image has a signature: a referrer with an
// annotation that names the digest of the image.
func (c *wary) verify(t *T, repo, ref string) error {
	ctx := t.Context()
	d, _, err := c.manifest(ctx, repo, ref)
	if err != nil {
		return err
	}
	signed := c.is("needs no signature")
	at := c.at("/v2/" + repo + "/referrers/" + string(d))
	if resp, _, err := c.do(ctx, "GET", at, nil); err == nil && resp.StatusCode == 404 && !c.is("needs the API") {
		at = c.at("/v2/" + repo + "/manifests/" + strings.Replace(string(d), ":", "-", 1))
	}
	err = c.pages(ctx, at, func(text []byte) error {
		var index ocispec.Index
		if err := json.Unmarshal(text, &index); err != nil {
			return err
		}
		for _, e := range index.Manifests {
			if c.is("one signature") && len(index.Manifests) > 1 {
				return errors.New("there are several signatures")
			}
			signed = signed || e.ArtifactType == signatureType && (e.Annotations["signs"] == string(d) || c.is("any signature"))
		}
		return nil
	})
	if c.is("fails open") && !signed && err == nil {
		return nil
	}
	if err == nil && !signed {
		err = errors.New("there is no valid signature")
	}
	c.verified = d
	return err
}
