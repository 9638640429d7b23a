//! The options of `vip service add` that say how the service places flows.

use std::time::Duration;

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _},
};
use vip_userspace::model::{
    Affinity, AffinityKind, Answer, Fragments, OnDead, Scheduler, Service, Ttl, duration,
};

#[derive(Args, Debug)]
pub(super) struct PlacingArgs {
    /// Whether TTL and hop limit go down by one; where they are kept, two directors that send to each other pass a
    /// packet round for ever
    #[arg(
        long, default_value_t, value_name = "WHAT",
        value_parser = PossibleValuesParser::new(Ttl::WORDS).try_map(|word| word.parse::<Ttl>())
    )]
    ttl: Ttl,
    /// Who gets a new flow
    #[arg(
        long, default_value_t, value_name = "NAME",
        value_parser = PossibleValuesParser::new(schedulers()).try_map(|word| word.parse::<Scheduler>())
    )]
    scheduler: Scheduler,
    /// What belongs together: a flow, or all flows of a client
    #[arg(
        long, default_value_t, value_name = "WHAT",
        value_parser = PossibleValuesParser::new(AffinityKind::WORDS).try_map(|word| word.parse::<AffinityKind>())
    )]
    affinity: AffinityKind,
    /// With --affinity source: leading bits of the client's address that count, for all flows of a network [default: all]
    #[arg(long, value_name = "BITS")]
    affinity_prefix: Option<u8>,
    /// What packets get whose member has died: another member, a reset, nothing, or still that member
    #[arg(
        long, default_value_t, value_name = "WHAT",
        value_parser = PossibleValuesParser::new(OnDead::WORDS).try_map(|word| word.parse::<OnDead>())
    )]
    on_dead: OnDead,
    /// For how long after a change older flows are told from new ones; 0s where each datagram stands alone [default:
    /// 7900s, for UDP 120s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    window: Option<Duration>,
    /// For how long a silent flow is remembered; no shorter than the window [default: the window]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    idle: Option<Duration>,
    /// How fragments of a datagram find together: by the ports of the first one, or all packets by their addresses
    #[arg(
        long, default_value_t, value_name = "HOW",
        value_parser = PossibleValuesParser::new(Fragments::WORDS).try_map(|word| word.parse::<Fragments>())
    )]
    fragments: Fragments,
    /// What a packet gets while no member is eligible
    #[arg(
        long, default_value_t, value_name = "WHAT",
        value_parser = PossibleValuesParser::new(Answer::WORDS).try_map(|word| word.parse::<Answer>())
    )]
    no_backend: Answer,
    /// Members that it needs: with fewer eligible ones its backups join in
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    quorum: u32,
    /// Eligible members above the quorum that let the backups go again
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    quorum_hysteresis: u32,
    /// With a smaller percentage of members healthy, health is ignored: better some that fail than one that drowns
    /// [default: never]
    #[arg(long, value_name = "PERCENT")]
    panic_threshold: Option<u32>,
    /// In how long a member that comes up grows to its whole share [default: at once]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    slow_start: Option<Duration>,
}

fn schedulers() -> impl Iterator<Item = PossibleValue> {
    Scheduler::all().map(|scheduler| PossibleValue::new(scheduler.word()).help(scheduler.about()))
}

impl PlacingArgs {
    /// Says it of the service.
    ///
    /// # Errors
    /// Options that do not belong together: a message.
    pub(super) fn apply(&self, service: Service) -> Result<Service, &'static str> {
        if self.affinity_prefix.is_some() && self.affinity != AffinityKind::Source {
            return Err("--affinity-prefix needs --affinity source");
        }
        Ok(Service {
            ttl: self.ttl,
            scheduler: self.scheduler,
            affinity: Affinity::new(self.affinity, service.address.vip, self.affinity_prefix),
            on_dead: self.on_dead,
            window: self.window,
            idle: self.idle,
            fragments: self.fragments,
            no_backend: self.no_backend,
            quorum: self.quorum,
            quorum_hysteresis: self.quorum_hysteresis,
            panic_threshold: self.panic_threshold,
            slow_start: self.slow_start,
            ..service
        })
    }
}
