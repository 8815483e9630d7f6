package main

import (
	_ "embed"
	"encoding/json"
)

// populationFile says how often each kind of NAT is met, and how that is known.
//
//go:embed population.json
var populationFile []byte

// A population is the part of it that is reckoned with.
type population struct {
	Kinds []struct {
		NAT    string  `json:"nat"`
		Share  float64 `json:"share"`
		Basis  string  `json:"basis"`
		Source string  `json:"source"`
	} `json:"kinds"`
}

func readPopulation() (p population, err error) {
	err = json.Unmarshal(populationFile, &p)
	return p, err
}

func (p population) shares() map[string]float64 {
	shares := make(map[string]float64)
	for _, k := range p.Kinds {
		shares[k.NAT] = k.Share
	}
	return shares
}
