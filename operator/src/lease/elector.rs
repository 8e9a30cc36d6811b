//! What one candidate does, as a function of what it has seen. No clock and no network: both are told to it.

use std::time::Duration;

use super::options::Timing;

/// What a lease says, as far as the election needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it; empty: nobody.
    pub(crate) holder: String,
    /// How long others have to wait after they saw it change.
    pub(crate) duration: Duration,
    /// How often it went from one holder to another.
    pub(crate) transitions: i32,
}

/// A lease as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its resource version: changes with every write.
    pub(crate) version: String,
    pub(crate) record: Record,
}

/// What to ask the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Read,
    /// Only where there is none.
    Create(Record),
    /// Only where it still has this version.
    Replace(String, Record),
}

/// What the API server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was read, or what has been written.
    Is(Stored),
    /// There is no such lease.
    Missing,
    /// It is not as the write expected it.
    Conflict,
    /// No answer, or another error; a write may have been done all the same.
    Failed,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Ask(Request),
    /// Nothing before this time.
    Wait(Duration),
    /// Leadership is lost for good: the process has to end.
    Lost(Loss),
}

/// Why leadership was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// No renewal succeeded in time.
    Deadline,
    /// Another holds the lease.
    Taken,
}

/// The lease as it was seen last.
#[derive(Debug)]
struct Seen {
    stored: Stored,
    /// When this version was seen first, by our clock.
    since: Duration,
    /// Whether it was not there any more at the last look.
    missing: bool,
}

/// One candidate. A process that has lost leadership ends, so a value of this is never leader twice.
#[derive(Debug)]
pub(crate) struct Elector {
    me: String,
    timing: Timing,
    seen: Option<Seen>,
    /// Whether `seen` is the newest that we know, so that a write can build on it.
    fresh: bool,
    /// When the last confirmed write was sent: leadership counts from there.
    held: Option<Duration>,
    lost: Option<Loss>,
    /// Nothing is asked before this time.
    at: Duration,
}

impl Elector {
    /// `me` is unique to this process.
    pub(crate) fn new(me: String, timing: Timing) -> Self {
        Self { me, timing, seen: None, fresh: false, held: None, lost: None, at: Duration::ZERO }
    }

    /// Until when this candidate is leader, by its own clock, if nothing else happens.
    pub(crate) fn leads_until(&self) -> Option<Duration> {
        if self.lost.is_some() { None } else { self.held.map(|held| held + self.timing.renew_deadline) }
    }

    /// Who holds the lease as far as is known, for the log.
    pub(crate) fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|seen| seen.stored.record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Duration) -> Next {
        if let Some(loss) = self.lost {
            return Next::Lost(loss);
        }
        let deadline = self.leads_until();
        if deadline.is_some_and(|deadline| now >= deadline) {
            self.lost = Some(Loss::Deadline);
            return Next::Lost(Loss::Deadline);
        }
        if now < self.at {
            return Next::Wait(deadline.map_or(self.at, |deadline| deadline.min(self.at)));
        }
        if !self.fresh || now < self.free_at() {
            return Next::Ask(Request::Read);
        }
        Next::Ask(match &self.seen {
            Some(seen) if !seen.missing => Request::Replace(seen.stored.version.clone(), self.record(true)),
            _ => Request::Create(self.record(true)),
        })
    }

    /// From when on we may write ourselves into the lease.
    fn free_at(&self) -> Duration {
        match &self.seen {
            // A lease that disappeared while it was held is waited for as well: its holder may not know it yet.
            Some(seen) if seen.stored.record.holder != self.me && !seen.stored.record.holder.is_empty() => {
                seen.since + self.timing.duration.max(seen.stored.record.duration)
            }
            _ => Duration::ZERO,
        }
    }

    /// The record that we would write: as holder, or as one who gives it back.
    fn record(&self, hold: bool) -> Record {
        let before = self.seen.as_ref().map(|seen| &seen.stored.record);
        let transitions =
            before.map_or(0, |record| record.transitions.saturating_add(i32::from(hold && record.holder != self.me)));
        Record {
            holder: if hold { self.me.clone() } else { String::new() },
            duration: self.timing.duration,
            transitions,
        }
    }

    /// Takes the answer to a request that was sent at `sent`. `jitter` between 0 and 1 keeps candidates apart.
    pub(crate) fn answered(&mut self, request: &Request, answer: Answer, sent: Duration, now: Duration, jitter: f64) {
        let write = !matches!(request, Request::Read);
        match answer {
            Answer::Is(stored) if write => {
                self.see(stored, now);
                self.held = Some(sent);
                self.at = sent + self.timing.retry;
            }
            Answer::Is(stored) => {
                if self.held.is_some() && !stored.record.holder.is_empty() && stored.record.holder != self.me {
                    self.lost = Some(Loss::Taken);
                }
                self.see(stored, now);
                self.at = self.pause(now, jitter).min(self.free_at()).max(now);
            }
            Answer::Missing if write => {
                self.fresh = false;
                self.at = now;
            }
            Answer::Missing => {
                if let Some(seen) = &mut self.seen {
                    seen.missing = true;
                }
                self.fresh = true;
                self.at = self.pause(now, jitter).min(self.free_at()).max(now);
            }
            Answer::Conflict => {
                self.fresh = false;
                // A leader wants to know at once; of candidates one has won.
                self.at = if self.held.is_some() { now } else { self.pause(now, jitter) };
            }
            Answer::Failed => {
                self.fresh = false;
                self.at = self.pause(now, jitter);
            }
        }
    }

    fn see(&mut self, stored: Stored, now: Duration) {
        let same = self.seen.as_ref().filter(|seen| !seen.missing && seen.stored.version == stored.version);
        let since = same.map_or(now, |seen| seen.since);
        self.seen = Some(Seen { stored, since, missing: false });
        self.fresh = true;
    }

    /// Between half of `retry` and all of it.
    fn pause(&self, now: Duration, jitter: f64) -> Duration {
        now + self.timing.retry.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// How to give leadership back. From now on this candidate does not lead, whatever becomes of the request.
    pub(crate) fn release(&mut self) -> Option<Request> {
        self.held.take()?;
        // A leader that does not know the newest version leaves it to the others to wait.
        let seen = self.seen.as_ref().filter(|seen| self.fresh && !seen.missing)?;
        Some(Request::Replace(seen.stored.version.clone(), self.record(false)))
    }
}
