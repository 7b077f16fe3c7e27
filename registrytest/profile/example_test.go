package profile_test

import (
	"fmt"
	"strings"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/profile"
)

// ECR responds to a chunk with 201. A client that accepts only 202 fails.
func ExampleQuirk() {
	reg, err := registrytest.StartServer(profile.Quirk("ecr.patch-201"))
	if err != nil {
		panic(err)
	}
	defer reg.Close()
	c := client{reg.Client()}
	session := c.do("POST", reg.URL+"/v2/team/app/blobs/uploads/", "").Header.Get("Location")
	fmt.Println(c.do("PATCH", reg.URL+session, "bytes").Status)
	fmt.Println(reg.Requests().Last())

	// Output:
	// 201 Created
	// PATCH /v2/team/app/blobs/uploads/<session> 201 quirk=ecr.patch-201 (https://github.com/regclient/regclient/blob/725072f65f14ab63d6b220246c3a889dcd5e2f5f/scheme/reg/blob.go#L540)
}

// This example shows that the quirks of a registry depend on the date of its
// profile.
func ExampleGet() {
	for _, name := range []string{"gitlab@2026-07", "gitlab@2026-08", "gitlab@2026-8"} {
		p := profile.Get(name)
		if err := p.Err(); err != nil {
			fmt.Println(err)
			continue
		}
		strict := false
		for _, q := range p.Quirks() {
			strict = strict || strings.Contains(string(q), "subject-must-exist")
		}
		fmt.Println(p.Name(), strict)
	}

	// Output:
	// gitlab@2026-07 false
	// gitlab@2026-08 true
	// profile gitlab@2026-8: "2026-8" is not a date, such as 2026-08 or 2026-08-31; its quirks changed on 2026-08-01
}
