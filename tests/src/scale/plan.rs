//! What is configured: so many services, a tenth as many members in each, and as many backends as services. Pure.

use std::net::Ipv4Addr;

/// VIPs, over which the services are spread.
const VIPS: u32 = 10;
/// Services whose numbers end alike have the same members.
const GROUPS: u32 = 10;
/// Slots of a ring.
pub(super) const SLOTS: u32 = 16_381;
/// The port that is probed.
pub(super) const PROBED: u16 = 80;
/// Port of the first service of a VIP.
const FIRST_PORT: u16 = 1000;

/// How much there is of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// Services, and as many backends: a multiple of 100.
    pub(super) services: u32,
}

/// How members are checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Checks {
    /// By HTTP, at the backend's own address: one probe does for all services of a backend.
    OnePerBackend,
    /// By TCP, at each VIP through the backend: a probe for each backend and VIP.
    OnePerVip,
}

impl Plan {
    pub(super) const fn members(self) -> u32 {
        self.services / GROUPS
    }

    /// How many checks run.
    pub(super) const fn checks(self, checks: Checks) -> u32 {
        match checks {
            Checks::OnePerBackend => self.services,
            Checks::OnePerVip => self.services * VIPS,
        }
    }

    pub(super) fn vips(self) -> impl Iterator<Item = Ipv4Addr> {
        (1..=VIPS).map(|number| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 200, 0, 0)) + number))
    }

    /// VIP and port of each service.
    pub(super) fn addresses(self) -> impl Iterator<Item = (Ipv4Addr, u16)> {
        let each = self.services / VIPS;
        let ports = move || (FIRST_PORT..).take(each as usize);
        self.vips().flat_map(move |vip| ports().map(move |port| (vip, port)))
    }

    /// The address of each backend.
    pub(super) fn backends(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(Ipv4Addr::new(10, 88, 1, 0));
        (0..self.services).map(move |number| Ipv4Addr::from(first + number))
    }

    /// The services that a backend is a member of, by their numbers.
    pub(super) fn services_of(self, backend: u32) -> impl Iterator<Item = u32> {
        (0..self.services).filter(move |service| service % GROUPS == backend % GROUPS)
    }

    /// The configuration.
    pub(super) fn config(self, checks: Checks) -> String {
        let (services, members) = (self.services, self.services * self.members());
        // A fixed seed: what is measured is the same work each time.
        let mut text = format!(
            "interfaces = [\"eth0\"]\nmode = \"native\"\nseed = \"00112233445566778899aabbccddeeff\"\n\
             [capacity]\nslots = {}\nmembers = {}\nservices = {services}\n",
            (services + 1) * SLOTS,
            // Some more: a number is given anew only when no slot has it any more.
            members + members / 10,
        );
        let check = match checks {
            Checks::OnePerBackend => "http = \"/\", probe = \"address\"",
            Checks::OnePerVip => "tcp = true",
        };
        for (number, (vip, port)) in (0..).zip(self.addresses()) {
            let names: Vec<_> = (0..services)
                .filter(|backend| backend % GROUPS == number % GROUPS)
                .map(|backend| format!("\"b{backend}\""))
                .collect();
            text += &format!(
                "[service.s{number}]\nvip = \"{vip}\"\nport = {port}\nslots = {SLOTS}\nmembers = [{}]\n\
                 check = {{ {check}, port = {PROBED}, interval = \"2s\", timeout = \"2s\", fall = 2 }}\n",
                names.join(", "),
            );
        }
        for (number, address) in self.backends().enumerate() {
            text += &format!("[backend.b{number}]\naddress = \"{address}\"\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use vip_userspace::config;

    use super::*;

    #[test]
    fn each_service_has_a_tenth_of_the_backends_and_each_backend_a_tenth_of_the_services() {
        let plan = Plan { services: 200 };
        for (checks, wanted) in [(Checks::OnePerBackend, 200), (Checks::OnePerVip, 2000)] {
            let config = config::parse(&plan.config(checks)).expect("a valid configuration");
            let intent = &config.intent;
            assert_eq!((intent.services().len(), intent.backends().len()), (200, 200));
            assert!(intent.services().values().all(|service| service.members.len() == 20));
            assert_eq!(plan.checks(checks), wanted);
            for number in [0, 7, 199] {
                let backend = format!("b{number}").parse().expect("a name");
                let mut names: Vec<_> =
                    plan.services_of(number).map(|service| format!("s{service}")).collect();
                names.sort();
                let found: Vec<_> = intent.services_of(&backend).map(|s| s.name.to_string()).collect();
                assert_eq!(found, names);
            }
        }
    }
}
