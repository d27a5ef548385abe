//! Where each validator listens and where the relay does, on loopback or with each validator in a
//! network namespace of its own.
//!
//! ```text
//! loopback     validator i ── 127.0.0.1 ──▶ relay ── 127.0.0.1 ──▶ validator j
//! namespaces   [ validator i ]── veth ──▶ relay, load, observers ── veth ──[ validator j ]
//! ```
//!
//! A namespace has one address, one link and no route but to the other end of that link, so that
//! nothing between two validators can get around the relay.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use conclave_tests::chaos::VALIDATORS_MAX;

use crate::devnet::plan::Plan;
use crate::devnet::processes::Launch;

/// Relay ports start this far above the base port, after the devnet's own.
const RELAY_OFFSET: u16 = 300;
/// Ports of one validator's links: the most validators there can be, and one that runs twice.
const LINKS: u16 = VALIDATORS_MAX + 1;
/// Ports of one run.
const PORTS: u16 = RELAY_OFFSET + LINKS * LINKS;

/// 198.18.0.0/15 (RFC 2544, for tests of networks), of which each place takes four addresses.
const NETWORKS: u32 = 198 << 24 | 18 << 16;

/// The addresses of one run.
#[derive(Debug)]
pub(super) struct Places {
    plan: Plan,
    /// By validator, and one more place if a validator runs twice; empty on loopback.
    namespaces: Vec<Namespace>,
}

/// A validator's namespace; removed when dropped.
#[derive(Debug)]
struct Namespace {
    name: String,
    /// The relay's end of the link, as the system names it.
    near: String,
    /// The relay's end of the link and the validator's.
    outer: Ipv4Addr,
    inner: Ipv4Addr,
}

impl Places {
    /// Everything on loopback.
    pub(super) fn loopback(plan: Plan) -> Self {
        Self {
            plan,
            namespaces: Vec::new(),
        }
    }

    /// Makes a namespace for each validator, and one more for the second instance of a twin. Needs
    /// root and `ip`.
    pub(super) fn isolated(plan: Plan, twin: bool) -> anyhow::Result<Self> {
        let mut places = Self::loopback(plan);
        for index in 0..plan.validators + u16::from(twin) {
            places.namespaces.push(Namespace::create(&plan, index)?);
        }
        places.check()?;
        Ok(places)
    }

    pub(super) fn is_isolated(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// Makes sure that no namespace reaches another.
    fn check(&self) -> anyhow::Result<()> {
        for from in &self.namespaces {
            for to in self.namespaces.iter().filter(|to| to.name != from.name) {
                let inner = to.inner.to_string();
                if ip(&["-n", &from.name, "route", "get", &inner]).is_ok() {
                    bail!(
                        "[CV-CLI-120] namespace {} has a route to {inner} past the relay; remove it",
                        from.name
                    );
                }
            }
        }
        Ok(())
    }

    fn inner(&self, index: u16) -> IpAddr {
        self.end(index, |namespace| namespace.inner)
    }

    fn outer(&self, index: u16) -> IpAddr {
        self.end(index, |namespace| namespace.outer)
    }

    fn end(&self, index: u16, of: impl Fn(&Namespace) -> Ipv4Addr) -> IpAddr {
        let namespace = self.namespaces.get(usize::from(index));
        namespace.map_or(Ipv4Addr::LOCALHOST, of).into()
    }

    /// Where a validator listens for its peers, over UDP.
    pub(super) fn peer(&self, index: u16) -> SocketAddr {
        (self.inner(index), self.plan.validator(index).port()).into()
    }

    /// Where a validator serves its API.
    pub(super) fn api(&self, index: u16) -> SocketAddr {
        (self.inner(index), self.plan.api(index).port()).into()
    }

    /// The place of a twin's second instance.
    pub(super) fn twin(&self) -> u16 {
        self.plan.validators
    }

    /// The base URL of a validator's API.
    pub(super) fn url(&self, index: u16) -> String {
        format!("http://{}", self.api(index))
    }

    /// Where the relay takes what `from` sends to `to`.
    pub(super) fn front(&self, from: u16, to: u16) -> SocketAddr {
        let port = self.plan.base_port + RELAY_OFFSET + from * LINKS + to;
        (self.outer(from), port).into()
    }

    /// Where the relay sends to `to` from, on any port.
    pub(super) fn back(&self, to: u16) -> SocketAddr {
        (self.outer(to), 0).into()
    }

    /// How a validator is started where it belongs.
    pub(super) fn launch(&self, index: u16) -> Launch {
        let through = self.namespaces.get(usize::from(index)).map(|namespace| {
            ["ip", "netns", "exec", &namespace.name]
                .map(String::from)
                .to_vec()
        });
        Launch {
            through: through.unwrap_or_default(),
            append_log: true,
            ..Launch::default()
        }
    }
}

impl Namespace {
    fn create(plan: &Plan, index: u16) -> anyhow::Result<Self> {
        let name = format!("cvchaos{}-{index}", plan.base_port);
        let (near, far) = (format!("cv{}-{index}", plan.base_port), "conclave0");
        // What an earlier run left behind when it was killed; an error means there is none.
        remove(&name, &near);
        // Two runs have base ports that are PORTS apart at least, and so different networks.
        let network = u32::from(plan.base_port / PORTS * LINKS + index);
        let octets = |last| Ipv4Addr::from(NETWORKS + 4 * network + last);
        ip(&["netns", "add", &name])?;
        let namespace = Self {
            name,
            near,
            outer: octets(1),
            inner: octets(2),
        };
        let (name, near) = (&namespace.name, &namespace.near);
        let (outer, inner) = (
            format!("{}/30", namespace.outer),
            format!("{}/30", namespace.inner),
        );
        ip(&[
            "link", "add", near, "type", "veth", "peer", "name", far, "netns", name,
        ])?;
        ip(&["addr", "add", &outer, "dev", near])?;
        ip(&["link", "set", near, "up"])?;
        ip(&["-n", name, "addr", "add", &inner, "dev", far])?;
        ip(&["-n", name, "link", "set", far, "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What cannot be removed now, the next run removes.
        remove(&self.name, &self.near);
    }
}

/// Removes a namespace and its link. The link would go with it, but some time later, when the next
/// committee may want its name.
fn remove(name: &str, near: &str) {
    let _ = ip(&["link", "del", near]);
    let _ = ip(&["netns", "del", name]);
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let output =
        output.context("[CV-CLI-121] there is no `ip`; install iproute2, or use --loopback")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!(
            "[CV-CLI-122] ip {}: {}; be root, or use --loopback",
            args.join(" "),
            reason.trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_link_has_a_place_of_its_own() {
        let plan = Plan {
            validators: VALIDATORS_MAX,
            rollups: 1,
            provers: 1,
            base_port: 25_000,
        };
        let places = Places::loopback(plan);
        let mut taken = BTreeSet::new();
        for from in 0..plan.validators {
            assert!(taken.insert(places.peer(from)) && taken.insert(places.api(from)));
        }
        for from in 0..=places.twin() {
            for to in (0..=places.twin()).filter(|to| *to != from) {
                assert!(taken.insert(places.front(from, to)), "{from} to {to}");
            }
        }
        assert!(
            taken.insert(places.peer(places.twin())) && taken.insert(places.api(places.twin()))
        );
        let ports = taken.iter().map(|place| place.port());
        assert!(ports.max() < Some(plan.base_port + PORTS));
    }
}
