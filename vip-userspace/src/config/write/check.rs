//! Writes a check, as it is read back.

use super::{Text, list, quoted};
use crate::model::{Check, Dns, Grpc, Http, Probe, Script, Tls};

impl Text {
    /// The lines of a check.
    pub(super) fn check(&mut self, check: &Check) {
        let Check { probe, interval, fast_interval, down_interval, timeout, rise, fall, port, target } =
            check;
        self.kind(probe);
        self.line("probe", quoted(target));
        self.time("interval", Some(*interval));
        self.time("fast-interval", *fast_interval);
        self.time("down-interval", *down_interval);
        self.time("timeout", Some(*timeout));
        self.line("rise", rise);
        self.line("fall", fall);
        if let Some(port) = port {
            self.line("port", port);
        }
    }

    fn kind(&mut self, probe: &Probe) {
        let kind = probe.kind();
        match probe {
            Probe::Tcp | Probe::Ping => self.line(kind, true),
            Probe::Script(Script { command, user }) => {
                self.line(kind, list(command.iter().map(quoted)));
                self.text("user", user.as_ref());
            }
            Probe::Tls(tls) => {
                self.line(kind, true);
                self.tls(tls);
            }
            Probe::Http(Http { method, path, host, expect: (low, high), body, tls }) => {
                self.line(kind, quoted(path));
                self.line("method", quoted(method));
                self.text("host", host.as_ref());
                self.line("expect", quoted(format!("{low}-{high}")));
                self.text("body", body.as_ref());
                tls.iter().for_each(|tls| self.tls(tls));
            }
            Probe::Grpc(Grpc { service, host, tls }) => {
                self.line(kind, quoted(service));
                self.text("host", host.as_ref());
                tls.iter().for_each(|tls| self.tls(tls));
            }
            Probe::Dns(Dns { name, record, rcode }) => {
                self.line(kind, quoted(name));
                self.line("record", quoted(record));
                self.line("rcode", quoted(rcode));
            }
        }
    }

    fn tls(&mut self, tls: &Tls) {
        let Tls { sni, ca, insecure } = tls;
        self.text("sni", sni.as_ref());
        self.text("ca", ca.as_ref());
        if *insecure {
            self.line("insecure", true);
        }
    }

    fn text(&mut self, key: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.line(key, quoted(text));
        }
    }
}
