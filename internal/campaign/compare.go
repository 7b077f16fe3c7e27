package main

import (
	"context"
	"fmt"

	"github.com/ocireg/registry/internal/differential"
)

// compare is the part of the campaign that compares stores with models by random
// sequences of requests.
func compare(ctx context.Context, c *campaign) error {
	configs := differential.Configs()
	sequences := make([]int, len(configs))
	findings := make([][]string, len(configs))
	first := c.rng(2).Uint64() >> 1
	for n := 0; more(ctx, n, len(configs)); n++ {
		i := n % len(configs)
		if len(findings[i]) > 0 {
			continue
		}
		if err := configs[i].Run(c.dir, first+uint64(sequences[i])); err != nil {
			findings[i] = append(findings[i], err.Error())
		}
		sequences[i]++
	}
	for i, config := range configs {
		c.report("differential", config.Name, fmt.Sprintf("%d sequences", sequences[i]), findings[i])
	}
	return nil
}
