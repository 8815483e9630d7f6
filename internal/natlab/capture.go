package natlab

import (
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Capture writes the packets at the site's NAT to w as pcapng, from now on, each at once. The file
// has two interfaces, the site's name with "-lan" and with "-wan". A packet that goes no further
// says in a comment why. An error of w while the lab runs ends the capture, and is returned by
// [Lab.Close].
func (s *Site) Capture(w io.Writer) error {
	// "Raw IPv4", which tcpdump and Wireshark read as IPv6 where the packet says so: libpcap
	// refuses a file with two interfaces of plain "raw", having two numbers for that.
	side := func(name string) pcapgo.NgInterface {
		return pcapgo.NgInterface{
			Name:                name,
			LinkType:            layers.LinkTypeIPv4,
			TimestampResolution: 9,
		}
	}
	ng, err := pcapgo.NewNgWriterInterface(w, side(s.name+"-lan"), pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{Application: "natlab"},
	})
	if err == nil {
		_, err = ng.AddInterface(side(s.name + "-wan"))
	}
	if err == nil {
		err = ng.Flush()
	}
	if err != nil {
		return fmt.Errorf("natlab: capture of site %q: %w", s.name, err)
	}
	var failed bool
	s.Tap(func(e Event) {
		if failed {
			return
		}
		if err := record(ng, e); err != nil {
			failed = true
			s.lab.errs = append(s.lab.errs, fmt.Errorf("natlab: capture of site %q: %w", s.name, err))
		}
	})
	return nil
}

func record(ng *pcapgo.NgWriter, e Event) error {
	if e.Fate == Lost && e.Direction == Inbound {
		return nil // it has not come as far as the NAT
	}
	info := gopacket.CaptureInfo{
		Timestamp:      e.Time,
		CaptureLength:  len(e.Packet),
		Length:         len(e.Packet),
		InterfaceIndex: int(e.Place), // interfaces were added in this order
	}
	flags := pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionOutbound}
	if e.Direction == Inbound {
		flags.Direction = pcapgo.NgEpbFlagDirectionInbound
	}
	opts := pcapgo.NgPacketOptions{Flags: &flags}
	if e.Fate != Forwarded {
		opts.Comments = []string{e.Fate.String() + ": " + e.Reason}
	}
	if err := ng.WritePacketWithOptions(info, e.Packet, opts); err != nil {
		return err
	}
	return ng.Flush()
}
