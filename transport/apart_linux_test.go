package transport

import "testing"

// TestApart runs the tests that want something within a time. They run beside one another, since
// they mostly wait, and apart from the package's parallel tests, whose work would be in their
// times.
func TestApart(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"RoundTrips":          testRoundTrips,
		"AddressPool":         testAddressPool,
		"CarrierAddressClaim": testCarrierAddressClaim,
		"HairpinInside":       testHairpinInside,
		"OneIsAsked":          testOneIsAsked,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}
