// Package profile makes a registry behave like a real one: with its challenge
// and token service, and with its deviations from the distribution spec.
//
//	p := profile.ECR(profile.Repositories("team/**"))
//	reg := registrytest.NewServer(t, p)
//	t.Setenv("DOCKER_CONFIG", p.Credentials().DockerConfig(t, reg.Host()))
//
// Each deviation is a [Quirk], with a source and a date. A response that a quirk
// has shaped says so in the journal of the registry, and in the log of a test
// that fails: quirk=ecr.patch-201 (https://…). A quirk that no request meets
// does not fail the test: a client may avoid it.
//
// A real registry changes without notice, so a profile says what was seen at the
// date of its sources, and no more. docs/profiles.md lists all quirks.
package profile
