package explore

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// notationSignature is the artifact type of notation's signatures.
const notationSignature = "application/vnd.cncf.notary.signature"

// Old versions of notation's command read a list of signatures that does not end;
// newer ones have a limit (CVE-2023-33957). The client is a program of its own,
// because the old versions and the registry need different versions of image-spec.
func TestHostileNotation(t *testing.T) {
	if testing.Short() {
		t.Skip("not in the sample")
	}
	const endless = "signatures without an end, and none is valid"
	for version, outcome := range map[string]explore.TrapOutcome{"v1.0.0-rc.3": explore.Caught, "v1.0.0-rc.6": explore.Withstood} {
		t.Run(version, func(t *testing.T) {
			program := build(t, "notation", version)
			z := explore.Hostile(t, func(t *explore.T, reg *registrytest.Server) {
				app := reg.Push(t, "team/app:v1", content.Image())
				reg.Push(t, "team/app", content.Artifact(notationSignature, content.Config(content.Bytes(notationSignature, []byte("{}"))),
					content.Bytes("application/jose+json", []byte(app.Digest)), content.Subject(app)))
			}, func(t *explore.T, reg *registrytest.Server) error {
				output, err := exec.CommandContext(t.Context(), program, reg.Ref("team/app"), "v1").CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
				}
				return nil
			}, explore.Verifies(), explore.OverLoopback(), explore.ReportOnly())
			require.Contains(t, z.With(outcome), endless, "%s", z.Markdown())
			require.Contains(t, z.With(explore.Withstood), "old signature on another image")
			t.Logf("%s: %d runs in %v", version, z.Runs, z.Time.Round(time.Millisecond))
		})
	}
}
