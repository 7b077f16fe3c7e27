// Package profile makes a registry behave like a real one: with its challenge
// and token service, and with its deviations from the distribution spec.
//
//	p := profile.ECR(profile.Repositories("team/**"))
//	reg := registrytest.NewServer(t, p)
//	t.Setenv("DOCKER_CONFIG", p.Credentials().DockerConfig(t, reg.Host()))
//
// Each deviation is a [Quirk], with a source and a date. If a quirk has shaped
// a response, the journal of the registry and the log of a failed test have a
// note: quirk=ecr.patch-201 (https://…). A quirk that no request meets does not
// fail the test: a client may avoid it.
//
// A real registry changes without notice, so a profile describes it only at the
// date of its sources. docs/profiles.md lists all quirks.
package profile
