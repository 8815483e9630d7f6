// Lab runs commands in a laboratory on this machine: a public relay with a STUN server, and two
// hosts, alice and bob, each in a home behind a NAT of your choice.
//
//	lab -a eim-apdf -b apdm-apdf-random                   # a shell at alice's
//	lab enter bob                                         # in another terminal: a shell at bob's
//	lab -a kernel-rst -- ssh bob@46.0.3.1                 # one command at alice's
//	lab -alice './peer $PEER_IP' -bob './peer $PEER_IP'   # commands at both, at once
//
// The hosts are Linux network namespaces with real sockets. A NAT is emulated, or a Linux kernel's
// (nftables). Nothing leaves the lab, and nothing of it is left when it ends. Commands get the
// addresses in environment variables, which lab prints at the start.
//
// The lab ends with alice's command; without one at alice's it ends with bob's, and without either
// with the relay's. The exit status is that command's, or 125 if the lab itself failed, 126 if a
// command could not be started, and 127 if there is no such command. Other commands are ended then,
// with all that they have started.
//
// Lab needs Linux, and root or the right to make user namespaces. docs/lab.md has recipes.
package main
