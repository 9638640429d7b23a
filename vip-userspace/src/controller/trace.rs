//! A trace, from its beginning to its end: the program that tells what packets get is in the links exactly as long as
//! somebody listens and its time is not over. What is told is put into words here, packet by packet.

mod wanted;
mod words;

use std::{collections::BTreeMap, future::pending, time::Duration};

use log::{error, info};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep_until},
};
use vip_common::{MemberId, trace::TracedPacket};

pub use self::wanted::words as trace_words;
use super::{
    run::{Loop, failed},
    start::refused,
};
use crate::{
    control::{
        Answer, Caller, Code, Refused,
        protocol::{News, TraceEnd, TraceEndWhy, TraceLine, TraceRequest},
    },
    dataplane::{Dataplane as _, TracedPackets},
    model::MemberKey,
};

/// Packets that are told in a second, at most: what more costs would be missed elsewhere.
const A_SECOND: u32 = 2000;
/// For how long the members' names may be older ones.
const NAMES_LAST: Duration = Duration::from_secs(1);

/// The trace that goes on, if one does.
#[derive(Default)]
pub(super) struct Tracing(Option<Trace>);

/// One trace.
struct Trace {
    packets: TracedPackets,
    lines: mpsc::Sender<TraceLine>,
    until: Instant,
    /// It ends after so many.
    count: Option<u64>,
    told: u64,
    /// What the listener did not read in time.
    unread: u64,
    /// When the machine started, in ns since 1970.
    started: u64,
    names: BTreeMap<MemberId, MemberKey>,
    names_of: Instant,
    by: Caller,
}

/// What comes of waiting for it.
#[derive(Debug)]
pub(super) enum Traced {
    /// Packets were told.
    Packets(Vec<TracedPacket>),
    /// It is over.
    Over(TraceEndWhy),
    /// Nobody listens any more.
    Alone,
}

impl Tracing {
    /// Waits until there is something to do; for ever where nobody traces.
    pub(super) async fn next(&mut self) -> Traced {
        let Some(trace) = &mut self.0 else { return pending().await };
        tokio::select! {
            packets = trace.packets.next() => match packets {
                Ok(packets) => Traced::Packets(packets),
                Err(error) => {
                    error!("read traced packets: {error}");
                    Traced::Over(TraceEndWhy::Failed)
                }
            },
            () = trace.lines.closed() => Traced::Alone,
            () = sleep_until(trace.until) => Traced::Over(TraceEndWhy::Time),
        }
    }
}

impl Loop {
    /// Begins a trace whose packets go to `lines`.
    ///
    /// # Errors
    /// Somebody traces already, what is asked for can't be, or the kernel refuses something.
    pub(super) fn begin_trace(
        &mut self,
        request: &TraceRequest,
        by: Caller,
        lines: Option<mpsc::Sender<TraceLine>>,
    ) -> Result<Answer, Refused> {
        let now = Instant::now();
        if let Some(Trace { until, by, .. }) = &self.trace.0 {
            let left = until.saturating_duration_since(now).as_secs() + 1;
            return Err(Refused::new(
                Code::TraceRuns,
                format!("somebody traces already ({by}), for {left} s at most"),
            )
            .with_remedy("wait for its end, or end it by `vip trace --stop`"));
        }
        let lines = lines.ok_or_else(|| Refused::new(Code::Failed, "there is nobody to be told"))?;
        let seconds = wanted::seconds(request)?;
        let ingress = request.interface.as_deref().map(|name| self.index_of(name)).transpose()?;
        let allowance = A_SECOND.div_ceil(self.controller.dataplane().cpus().max(1));
        let until = clock(ClockId::MonotonicCoarse).saturating_add(u64::from(seconds) * 1_000_000_000);
        let wanted = wanted::wanted(request, ingress, allowance, until)?;
        let packets = self.controller.dataplane_mut().trace(&wanted).map_err(refused)?;
        self.trace.0 = Some(Trace {
            packets,
            lines,
            until: now + Duration::from_secs(seconds.into()),
            count: request.count,
            told: 0,
            unread: 0,
            started: clock(ClockId::Realtime).saturating_sub(clock(ClockId::Monotonic)),
            names: self.controller.numbers().labels(),
            names_of: now,
            by,
        });
        let words = format!("a trace begins, for {seconds} s at most");
        info!("{words}{}", super::words::by(Some(by)));
        self.herald.tell(News::Command { by: Some(by) }, words);
        Ok(Answer::Done)
    }

    fn index_of(&self, name: &str) -> Result<u32, Refused> {
        let links = &self.controller.world().links;
        let found = links.iter().find(|(_, link)| link.name == name).map(|(ifindex, _)| *ifindex);
        found.ok_or_else(|| {
            let names: Vec<_> = links.values().map(|link| link.name.as_str()).collect();
            Refused::new(Code::NoInterface, format!("the director is not on an interface {name}"))
                .with_remedy(format!("name one of these: {}", names.join(", ")))
        })
    }

    /// Acts on what was waited for.
    pub(super) fn traced(&mut self, traced: Traced) {
        match traced {
            Traced::Packets(packets) => {
                let Some(mut trace) = self.trace.0.take() else { return };
                let is_over = self.tell_packets(&mut trace, &packets);
                self.trace.0 = Some(trace);
                if is_over {
                    self.end_trace(Some(TraceEndWhy::Count));
                }
            }
            Traced::Over(why) => self.end_trace(Some(why)),
            Traced::Alone => self.end_trace(None),
        }
    }

    /// Ends the trace that goes on, because somebody asks for that.
    ///
    /// # Errors
    /// None goes on.
    pub(super) fn stop_trace(&mut self) -> Result<Answer, Refused> {
        if self.trace.0.is_none() {
            return Err(Refused::new(Code::NoTrace, "nobody traces"));
        }
        self.end_trace(Some(TraceEndWhy::Asked));
        Ok(Answer::Done)
    }

    /// Ends the trace, if one goes on: the director is in its links again. Who listens is told why; nobody does where that is
    /// not said.
    pub(super) fn end_trace(&mut self, why: Option<TraceEndWhy>) {
        let Some(mut trace) = self.trace.0.take() else { return };
        let counts = self.controller.dataplane_mut().end_trace().unwrap_or_else(|error| {
            error!("{:#}: the next start puts it right", failed(error));
            Default::default()
        });
        if why.is_some_and(|why| why != TraceEndWhy::Count) {
            let packets = trace.packets.now();
            self.tell_packets(&mut trace, &packets);
        }
        let Trace { lines, told, unread, by, .. } = trace;
        let lost = counts.lost.saturating_add(unread);
        info!("the trace ends{}: {told} packets told, of {}", super::words::by(Some(by)), counts.seen);
        let Some(why) = why else { return };
        let end = TraceEnd { why, seen: counts.seen, told, limited: counts.limited, lost };
        if let Err(TrySendError::Full(end)) = lines.try_send(TraceLine::Ended(end)) {
            // It ends with its reader, who reads on, or is cut off.
            tokio::spawn(async move { lines.send(end).await });
        }
    }

    /// Tells packets to who listens. True once all are told that were asked for.
    fn tell_packets(&mut self, trace: &mut Trace, packets: &[TracedPacket]) -> bool {
        if trace.names_of.elapsed() > NAMES_LAST {
            trace.names = self.controller.numbers().labels();
            trace.names_of = Instant::now();
        }
        let is_all = |told: u64| trace.count.is_some_and(|count| told >= count);
        for packet in packets {
            if is_all(trace.told) {
                break;
            }
            let told = words::of_packet(packet, trace.started, &trace.names, self.controller.world());
            match trace.lines.try_send(TraceLine::Packet(Box::new(told))) {
                Ok(()) => trace.told += 1,
                Err(TrySendError::Full(_)) => trace.unread += 1,
                // That nobody listens is noticed by who waits.
                Err(TrySendError::Closed(_)) => break,
            }
        }
        is_all(trace.told)
    }
}

/// The time of a clock, in ns.
fn clock(id: ClockId) -> u64 {
    let time = Duration::try_from(clock_gettime(id)).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
