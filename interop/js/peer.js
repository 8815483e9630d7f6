// A js-libp2p peer, for the tests of interoperability. What it has to say are lines of JSON on
// its standard output. It ends with its standard input, or on SIGTERM.
//
//   node peer.js relay ADDR...    listens there, and is a circuit relay with the usual limits
//   node peer.js listen ADDR...   listens there; /p2p-circuit after a relay's address reserves
//   node peer.js dial ADDR        connects, identifies, pings
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

// js-libp2p calls it, and Node.js has it from 22 on.
Promise.withResolvers ??= () => {
  const r = {}
  r.promise = new Promise((resolve, reject) => Object.assign(r, { resolve, reject }))
  return r
}

const tell = value => console.log(JSON.stringify(value))

function start (listen, services = {}) {
  return createLibp2p({
    // A public address is announced only if it is said to be one, or AutoNAT says so.
    addresses: { listen, appendAnnounce: listen.filter(a => !a.endsWith('/p2p-circuit')) },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping(), ...services }
  })
}

// ready tells the addresses as go-libp2p's peer.AddrInfo is written.
function ready (node) {
  tell({ ID: node.peerId, Addrs: node.getMultiaddrs().map(a => a.decapsulateCode(421).toString()) })
}

const roles = {
  async relay (...listen) {
    const node = await start(listen, { relay: circuitRelayServer() })
    ready(node)
    return node
  },

  async listen (...listen) {
    const node = await start(listen)
    ready(node)
    return node
  },

  async dial (addr) {
    const node = await start([])
    // The result of identify leaves out what it cannot read, so keep the messages.
    const service = node.services.identify
    const ask = service._identify.bind(service)
    const messages = new Map()
    service._identify = async (conn, ...rest) => {
      const message = await ask(conn, ...rest)
      messages.set(conn, message)
      return message
    }
    const target = multiaddr(addr).getComponents().findLast(c => c.name === 'p2p').value
    const identified = new Promise(resolve => {
      node.addEventListener('peer:identify', ({ detail }) => {
        if (detail.peerId.toString() === target) resolve(detail) // and not a relay
      })
    })
    const conn = await node.dial(multiaddr(addr))
    const result = await identified
    tell({
      Self: node.peerId,
      Peer: conn.remotePeer,
      Limited: conn.limits != null,
      Protocols: result.protocols,
      Listen: messages.get(conn).listenAddrs.map(a => multiaddr(a).toString()),
      Signed: result.signedPeerRecord?.addresses.map(a => a.toString()),
      PingMS: await node.services.ping.ping(conn.remotePeer)
    })
    return node
  }
}

const [role, ...args] = process.argv.slice(2)
if (!Object.hasOwn(roles, role)) {
  console.error('usage: node peer.js relay|listen ADDR... or dial ADDR')
  process.exit(2)
}
const node = await roles[role](...args)
const stop = async () => { await node.stop(); process.exit() }
process.on('SIGTERM', stop)
process.stdin.on('end', stop).resume()
