// Package natlab is a laboratory of hosts behind emulated NATs, in one process.
//
// A host is a Linux network namespace with a TUN device for its only link, so the sockets in it are
// the kernel's own. The process that owns the lab reads every TUN device and is all of the network
// between them:
//
//	 host      site A                    core                    site B      host
//	+-----+   +-----+   delay(A)+delay(B)+extra(A,B)+jitter     +-----+   +-----+
//	| TUN |-->| NAT |------------------------------------------>| NAT |-->| TUN |
//	+-----+   +-----+   lost with loss(A), then with loss(B)    +-----+   +-----+
//	       LAN       WAN                                       WAN     LAN
//
// The NAT stands next to its hosts: a packet that leaves is translated at once, one that arrives is
// translated when it arrives, so that two crossing packets meet the NAT's state as it is at that
// instant. Packets between two sites stay in order. A site may be placed behind another one, as
// with carrier-grade NAT.
//
// # Use
//
//	if err := natlab.Enter(); err != nil { ... }   // first thing in main or TestMain
//	lab, err := natlab.New(natlab.Config{})
//	nat, err := natlab.ParseBehaviour("eim-apdf-rst")
//	home, err := lab.AddSite(natlab.SiteConfig{Name: "home", NAT: nat, Delay: 20 * time.Millisecond})
//	host, err := home.AddHost("alice")
//	err = host.Start(exec.Command("./peer"))
//
// Package labtest does this for tests, with the test binary itself as the program.
//
// # NAT behaviour
//
// A [Behaviour] is written in the words of RFC 4787 and RFC 5382; see [ParseBehaviour]. [NAT] is
// deterministic code on packets. It reads no clock and needs no privileges. [Site.Forward] forwards
// a port, as a user's rule or UPnP does.
//
// A NAT has one session for an inside and a remote endpoint. Its packets leave by the session's
// mapping. If the filter admits a SYN at one mapping while a SYN that left by another mapping has
// no answer yet, the session belongs to the former.
//
// Traffic that disturbs port prediction comes from a further host at the site. Whatever the host
// sends takes ports, even to an address that nobody has.
//
// # Kernels
//
// A site may have a Linux kernel in the place of the emulation: [ParseBehaviour] has its words, as
// in "kernel-rst-random". A namespace is the site's router then. It forwards between its two links,
// and translates and filters by rules of nftables. With "firewall" there is no router: the hosts
// have public addresses, and their own kernels filter. No system program is called.
//
// On the core both links of a router are TUN devices, so delays, loss, taps and captures are those
// of any site. Taps do not learn what a kernel drops, or that a reset is its own.
//
// With [Config].Bridge there is no core. A Linux bridge joins the sites, and veth pairs join hosts,
// routers and bridge, with no delay at all:
//
//	host --veth-- router A --veth--+             +--veth-- router B --veth-- host
//	                               |-- bridge ---|
//	public host ------veth---------+             +--veth--- public host
//
// # Addresses
//
// Addresses are assigned in the order of creation: the n-th site is 46.0.n.1 outside (or 100.64.n.1
// behind another site), or 46.0.n.1 to 46.0.n.4 with a pool of addresses, and 10.n.0.0/24 inside,
// where 10.n.0.254 is the router; hosts at a public site are 46.0.n.1, 46.0.n.2 and so on. A host
// with [Host.AddAddr] has more than one of them. A kernel's router always has four outside. With
// [SiteConfig].IPv6 the k-th address has 2a00:46:0:n::k at its side, which is not translated but
// filtered where there is a NAT. The documentation ranges cannot be used, as go-libp2p does not
// take them for public. Nothing of it leaves the namespaces.
//
// # Privileges
//
// Namespaces need root, or a user namespace that an ordinary user may make; [Enter] finds out
// which. Nothing in the lab has a name in the file system, so all of it is gone with the process,
// however the process ends.
//
// # Debugging
//
// [Site.Capture] writes what a NAT sees on both of its sides as pcapng, for Wireshark; [Lab.Tap]
// calls a function for each packet, with its fate and the reason.
package natlab
