//! What a devnet consists of, and where each part listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{anyhow, bail};
use conclave_types::Threshold;

/// The ports above the base port, and how many of each kind there may be.
const KIND_PORTS: u16 = 100;
/// Offsets of the kinds of ports from the base port.
const API_OFFSET: u16 = KIND_PORTS;
const ROLLUP_OFFSET: u16 = 2 * KIND_PORTS;
const PORTS: u16 = 3 * KIND_PORTS;

/// A devnet's size and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) validators: u16,
    pub(crate) rollups: u16,
    pub(crate) provers: u16,
    pub(crate) base_port: u16,
}

/// What a port is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

impl Plan {
    /// Checks the sizes.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let faults = Threshold::for_total(u64::from(self.validators)).map(|t| t.faults());
        if !matches!(faults, Ok(1..)) || self.validators >= KIND_PORTS {
            bail!(
                "[CV-CLI-060] --validators {}: a committee has 3f+1 members to tolerate f faults; use 4, 7, 10, … up to 97",
                self.validators
            );
        }
        for (flag, count) in [("--rollups", self.rollups), ("--provers", self.provers)] {
            if !(1..KIND_PORTS).contains(&count) {
                bail!("[CV-CLI-061] {flag} {count}: use 1 to 99");
            }
        }
        if self.base_port < 1024 || self.base_port.checked_add(PORTS).is_none() {
            bail!(
                "[CV-CLI-062] --base-port {}: {PORTS} ports follow it; use 1024 to {}",
                self.base_port,
                u16::MAX - PORTS
            );
        }
        Ok(())
    }

    /// Where validator `index` listens for its peers, over UDP.
    pub(crate) fn validator(&self, index: u16) -> SocketAddr {
        local(self.base_port + index)
    }

    /// Where validator `index` serves its API.
    pub(crate) fn api(&self, index: u16) -> SocketAddr {
        local(self.base_port + API_OFFSET + index)
    }

    /// Where the node of rollup `id` serves its API.
    pub(crate) fn rollup(&self, id: u16) -> SocketAddr {
        local(self.base_port + ROLLUP_OFFSET + id)
    }

    /// The base URL of validator `index`.
    pub(crate) fn api_url(&self, index: u16) -> String {
        format!("http://{}", self.api(index))
    }

    /// The base URLs of all validators, one of them first, so that clients spread.
    pub(crate) fn api_urls(&self, first: u16) -> Vec<String> {
        (0..self.validators)
            .map(|step| self.api_url((first + step) % self.validators))
            .collect()
    }

    /// The rollups' ids.
    pub(crate) fn rollup_ids(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.rollups
    }

    /// Makes sure that nobody uses any of the ports, before anything starts.
    pub(crate) fn check_ports(&self) -> anyhow::Result<()> {
        let validators = (0..self.validators).flat_map(|index| {
            let name = validator_name(index);
            [
                (self.validator(index), Transport::Udp, name.clone()),
                (self.api(index), Transport::Tcp, name),
            ]
        });
        let rollups = self
            .rollup_ids()
            .map(|id| (self.rollup(id), Transport::Tcp, rollup_name(id)));
        for (address, transport, user) in validators.chain(rollups) {
            let (result, protocol) = match transport {
                Transport::Udp => (UdpSocket::bind(address).map(drop), "UDP"),
                Transport::Tcp => (TcpListener::bind(address).map(drop), "TCP"),
            };
            result.map_err(|error| {
                anyhow!(
                    "[CV-CLI-063] port {} ({protocol}), which {user} needs, cannot be used: {error}; stop what uses it, or choose another --base-port for a new --data-dir",
                    address.port()
                )
            })?;
        }
        Ok(())
    }
}

/// The name of a validator, its directory and its log.
pub(crate) fn validator_name(index: u16) -> String {
    format!("validator-{index}")
}

/// The name of a rollup's node, its directory and its log.
pub(crate) fn rollup_name(id: u16) -> String {
    format!("rollup-{id}")
}

/// The name of a prover, its directory and its log.
pub(crate) fn prover_name(index: u16) -> String {
    format!("prover-{index}")
}

/// A rollup's name on the ledger, and that of its money.
pub(crate) fn token(id: u16) -> (String, String) {
    match id {
        1 => ("amber".into(), "AMB".into()),
        2 => ("birch".into(), "BIR".into()),
        3 => ("coral".into(), "COR".into()),
        _ => (format!("token-{id}"), format!("T{id}")),
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PLAN: Plan = Plan {
        validators: 4,
        rollups: 3,
        provers: 3,
        base_port: 26600,
    };

    #[test]
    fn each_part_has_its_place() {
        assert_eq!(PLAN.validator(3).to_string(), "127.0.0.1:26603");
        assert_eq!(PLAN.api(0).to_string(), "127.0.0.1:26700");
        assert_eq!(PLAN.rollup(1).to_string(), "127.0.0.1:26801");
        assert_eq!(
            PLAN.api_urls(2)[..2],
            ["http://127.0.0.1:26702", "http://127.0.0.1:26703"]
        );
        assert_eq!(PLAN.api_urls(2)[2], "http://127.0.0.1:26700");
    }

    #[test]
    fn no_two_parts_share_a_port() {
        let plan = Plan {
            validators: 97,
            rollups: 99,
            ..PLAN
        };
        plan.check().unwrap();
        let mut ports = BTreeSet::new();
        for index in 0..plan.validators {
            assert!(ports.insert(plan.validator(index)) && ports.insert(plan.api(index)));
        }
        assert!(plan.rollup_ids().all(|id| ports.insert(plan.rollup(id))));
    }

    #[test]
    fn sizes_that_cannot_work_are_refused() {
        PLAN.check().unwrap();
        let wrong = [
            Plan {
                validators: 0,
                ..PLAN
            },
            Plan {
                validators: 1,
                ..PLAN
            },
            Plan {
                validators: 5,
                ..PLAN
            },
            Plan {
                validators: 100,
                ..PLAN
            },
            Plan { rollups: 0, ..PLAN },
            Plan { provers: 0, ..PLAN },
            Plan {
                provers: 100,
                ..PLAN
            },
            Plan {
                base_port: 80,
                ..PLAN
            },
            Plan {
                base_port: 65_400,
                ..PLAN
            },
        ];
        for plan in wrong {
            let error = plan.check().unwrap_err().to_string();
            assert!(error.starts_with("[CV-CLI-06"), "{plan:?}: {error}");
        }
    }

    #[test]
    fn a_port_in_use_is_found_before_anything_starts() {
        // The system's own choice of a port that is free now; what follows it is tried in turn.
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let base_port = port - API_OFFSET;
        let error = Plan { base_port, ..PLAN }
            .check_ports()
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("[CV-CLI-063]"), "{error}");
    }
}
