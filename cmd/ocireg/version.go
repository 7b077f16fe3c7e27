package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// release is the version of a build that knows no version itself. The linker sets
// it, for example when internal/image builds the command for an image.
var release string

// version returns the line that -version prints. Info is the result of
// [debug.ReadBuildInfo], or nil.
func version(release string, info *debug.BuildInfo) string {
	of, settings := release, make(map[string]string)
	if info != nil {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if of == "" {
			of = info.Main.Version
		}
	}
	revision := settings["vcs.revision"]
	// The pseudo-version of a commit without a tag ends in twelve digits of the
	// commit's revision.
	commit := revision != "" && strings.Contains(of, revision[:min(len(revision), 12)])
	if of == "" || of == "(devel)" || commit {
		of = "devel"
		if revision != "" {
			of += " " + revision + " " + settings["vcs.time"]
		}
		if settings["vcs.modified"] == "true" {
			of += " modified"
		}
	}
	return fmt.Sprintf("ocireg %s %s %s/%s", of, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
