// Package profile makes a registry behave like a registry of a vendor or
// project, here called a real registry: with its challenge and token service,
// and with its deviations from the distribution spec.
//
//	p := profile.ECR(profile.Repositories("team/**"))
//	reg := registrytest.NewServer(t, p)
//	t.Setenv("DOCKER_CONFIG", p.Credentials().DockerConfig(t, reg.Host()))
//
// Each deviation is a [Quirk], with a source and a date. If a quirk affects a
// response, the record in the journal and the log of a failed test have its
// receipt, which is a note such as quirk=ecr.patch-201 (https://…). If a quirk
// affects no response, the test does not fail, since a client may avoid the
// quirk.
//
// Real registries change without notice, so a profile describes one only at the
// date of its sources. docs/profiles.md lists all quirks.
package profile
