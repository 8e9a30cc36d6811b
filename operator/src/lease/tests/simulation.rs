//! Several candidates with clocks of their own, processes that stand still, an API server that is slow, deaf or mute: at no moment
//! are there two leaders, and once the trouble is over there is one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use proptest::prelude::*;

use super::super::elector::{Answer, Elector, Next, Record, Request, Stored};
use super::super::options::Timing;

/// Milliseconds of true time.
type Time = u64;

/// When the last disturbance begins at the latest, how long one lasts at most, and how long a leader may take after that.
const TROUBLE: Time = 200_000;
const LONGEST: Time = 40_000;
const CALM: Time = 60_000;
/// How long one request may take, by the candidate's clock.
const ATTEMPT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Machine {
    /// Its clock: an offset, and a speed in thousandths.
    offset: Time,
    speed: u64,
    /// Stands still from, for.
    pauses: Vec<(Time, Time)>,
    /// Asked to end at.
    ends: Vec<Time>,
}

#[derive(Clone, Debug)]
struct Weather {
    machines: Vec<Machine>,
    /// Requests are lost from, for.
    outages: Vec<(Time, Time)>,
    /// Requests take up to this long, and their answers too, from, for.
    slow: Vec<(Time, Time, Time)>,
    /// In thousandths: how often an answer is lost.
    deaf: u64,
    seed: u64,
}

fn weather() -> impl Strategy<Value = Weather> {
    let span = || (0..TROUBLE, 0..LONGEST);
    let machine = (
        0..1_000_000_000_u64,
        900..=1100_u64,
        prop::collection::vec(span(), 0..4),
        prop::collection::vec(0..TROUBLE, 0..3),
    );
    let machine = machine.prop_map(|(offset, speed, pauses, ends)| Machine { offset, speed, pauses, ends });
    (
        prop::collection::vec(machine, 2..=3),
        prop::collection::vec(span(), 0..3),
        prop::collection::vec((0..TROUBLE, 0..LONGEST, 10..30_000_u64), 0..3),
        0..200_u64,
        any::<u64>(),
    )
        .prop_map(|(machines, outages, slow, deaf, seed)| Weather { machines, outages, slow, deaf, seed })
}

#[derive(Debug)]
enum Event {
    /// The process looks at what is to be done.
    Wake,
    /// A request reaches the API server.
    Arrive { number: u64, request: Request },
    /// Its answer, or the end of waiting, reaches the process.
    Reply { number: u64, answer: Answer },
    /// Somebody asks the process to end.
    End,
}

#[derive(Debug)]
struct Process {
    elector: Elector,
    /// How many ran on this machine before it.
    life: u32,
    /// The request that it waits for: its number, when it was sent by its clock.
    waits: Option<(u64, Request, Duration)>,
}

struct World {
    weather: Weather,
    timing: Timing,
    now: Time,
    /// By time and number: which machine, which life of it, what.
    events: BinaryHeap<Reverse<(Time, u64)>>,
    content: BTreeMap<u64, (usize, u32, Event)>,
    numbers: u64,
    random: u64,
    processes: Vec<Process>,
    lease: Option<Stored>,
    writes: u64,
    changes: u32,
}

impl World {
    fn new(weather: Weather) -> Self {
        Self::with(Timing::default(), weather)
    }

    fn with(timing: Timing, weather: Weather) -> Self {
        let random = weather.seed | 1;
        let processes = (0..weather.machines.len()).map(|machine| process(machine, 0, timing)).collect();
        let mut world = Self {
            weather,
            timing,
            now: 0,
            events: BinaryHeap::new(),
            content: BTreeMap::new(),
            numbers: 0,
            random,
            processes,
            lease: None,
            writes: 0,
            changes: 0,
        };
        for machine in 0..world.processes.len() {
            world.schedule(0, machine, 0, Event::Wake);
            for end in world.weather.machines[machine].ends.clone() {
                // Whichever life is at work by then.
                world.schedule(end, machine, u32::MAX, Event::End);
            }
        }
        world
    }

    fn schedule(&mut self, at: Time, machine: usize, life: u32, event: Event) {
        self.numbers += 1;
        self.events.push(Reverse((at, self.numbers)));
        self.content.insert(self.numbers, (machine, life, event));
    }

    /// Below `limit`.
    fn chance(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit.max(1)
    }

    fn local(&self, machine: usize, at: Time) -> Duration {
        let machine = &self.weather.machines[machine];
        Duration::from_micros((machine.offset + at) * machine.speed)
    }

    /// The true time of a time of this machine, rounded up.
    fn truly(&self, machine: usize, local: Duration) -> Time {
        let machine = &self.weather.machines[machine];
        let micros = u64::try_from(local.as_micros()).unwrap();
        micros.div_ceil(machine.speed).saturating_sub(machine.offset).max(self.now)
    }

    /// Until when the machine stands still, if it does.
    fn still_until(&self, machine: usize) -> Option<Time> {
        let pauses = &self.weather.machines[machine].pauses;
        pauses
            .iter()
            .filter(|(from, long)| (*from..from + long).contains(&self.now))
            .map(|(from, long)| from + long)
            .max()
    }

    fn delay(&mut self) -> Time {
        let now = self.now;
        let worst = self.weather.slow.iter().filter(|(from, long, _)| (*from..from + long).contains(&now));
        let worst = worst.map(|(.., delay)| *delay).max().unwrap_or(50);
        self.chance(worst) + 1
    }

    /// The machines whose process would write now.
    fn leaders(&self) -> Vec<usize> {
        let leads = |machine: &usize| {
            let process = &self.processes[*machine];
            process.elector.leads_until().is_some_and(|until| self.local(*machine, self.now) < until)
        };
        (0..self.processes.len()).filter(leads).collect()
    }

    /// Goes on until then; an error once there are two leaders.
    fn run(&mut self, until: Time) -> Result<(), String> {
        while let Some(Reverse((at, number))) = self.events.peek().copied() {
            if at > until {
                break;
            }
            self.events.pop();
            self.now = at;
            let (machine, life, event) = self.content.remove(&number).unwrap();
            let before = self.leaders();
            self.handle(machine, life, event);
            let leaders = self.leaders();
            if leaders.len() > 1 {
                return Err(format!("two leaders at {}: {leaders:?} {:?}", self.now, self.processes));
            }
            self.changes += u32::from(before != leaders && !leaders.is_empty());
        }
        self.now = until;
        Ok(())
    }

    fn handle(&mut self, machine: usize, life: u32, event: Event) {
        if let Event::Arrive { number, request } = event {
            return self.arrive(machine, life, number, &request);
        }
        if let Some(end) = self.still_until(machine) {
            return self.schedule(end, machine, life, event);
        }
        let current = self.processes[machine].life;
        if life != current && life != u32::MAX {
            return;
        }
        match event {
            Event::Wake => {}
            Event::Reply { number, answer } => {
                let Some((_, request, sent)) = self.processes[machine].waits.take_if(|(n, ..)| *n == number) else {
                    return;
                };
                let jitter = f64::from(u32::try_from(self.chance(1000)).unwrap()) / 1000.0;
                let now = self.local(machine, self.now);
                self.processes[machine].elector.answered(&request, answer, sent, now, jitter);
            }
            Event::End => {
                if let Some(request) = self.processes[machine].elector.release() {
                    self.send(machine, u32::MAX, 0, request);
                }
                return self.begin_anew(machine, current);
            }
            Event::Arrive { .. } => unreachable!(),
        }
        self.act(machine, current);
    }

    fn act(&mut self, machine: usize, life: u32) {
        if self.processes[machine].waits.is_some() {
            return;
        }
        let now = self.local(machine, self.now);
        match self.processes[machine].elector.next(now) {
            Next::Wait(until) => {
                let at = self.truly(machine, until);
                self.schedule(at, machine, life, Event::Wake);
            }
            Next::Lost(_) => self.begin_anew(machine, life),
            Next::Ask(request) => {
                self.numbers += 1;
                let number = self.numbers;
                let left = self.processes[machine]
                    .elector
                    .leads_until()
                    .map_or(ATTEMPT, |until| until.saturating_sub(now).min(ATTEMPT));
                self.processes[machine].waits = Some((number, request.clone(), now));
                let end = self.truly(machine, now + left);
                self.schedule(end, machine, life, Event::Reply { number, answer: Answer::Failed });
                self.send(machine, life, number, request);
            }
        }
    }

    fn send(&mut self, machine: usize, life: u32, number: u64, request: Request) {
        let lost = self.weather.outages.iter().any(|(from, long)| (*from..from + long).contains(&self.now));
        if !lost {
            let at = self.now + self.delay();
            self.schedule(at, machine, life, Event::Arrive { number, request });
        }
    }

    fn begin_anew(&mut self, machine: usize, life: u32) {
        self.processes[machine] = process(machine, life + 1, self.timing);
        self.schedule(self.now + 1000, machine, life + 1, Event::Wake);
    }

    /// What an API server does: every write only where the lease is as the writer has read it.
    fn arrive(&mut self, machine: usize, life: u32, number: u64, request: &Request) {
        let answer = match (request, &self.lease) {
            (Request::Read, Some(lease)) => Answer::Is(lease.clone()),
            (Request::Read | Request::Replace(..), None) => Answer::Missing,
            (Request::Create(record), None) => self.write(record),
            (Request::Replace(version, record), Some(lease)) if *version == lease.version => self.write(record),
            _ => Answer::Conflict,
        };
        let deaf = self.weather.deaf;
        if self.chance(1000) >= deaf || self.now > TROUBLE + LONGEST {
            let at = self.now + self.delay();
            self.schedule(at, machine, life, Event::Reply { number, answer });
        }
    }

    fn write(&mut self, record: &Record) -> Answer {
        self.writes += 1;
        let stored = Stored { version: self.writes.to_string(), record: record.clone() };
        self.lease = Some(stored.clone());
        Answer::Is(stored)
    }
}

fn process(machine: usize, life: u32, timing: Timing) -> Process {
    Process { elector: Elector::new(format!("{machine}-{life}"), timing), life, waits: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn never_two_leaders_and_one_in_the_end(weather in weather()) {
        let mut world = World::new(weather);
        prop_assert_eq!(world.run(TROUBLE + LONGEST + CALM), Ok(()));
        let leaders = world.leaders();
        prop_assert_eq!(leaders.len(), 1, "{:?}", world.processes);
        // It stays: nothing happens any more.
        let changes = world.changes;
        prop_assert_eq!(world.run(TROUBLE + LONGEST + 3 * CALM), Ok(()));
        prop_assert_eq!(world.leaders(), leaders);
        prop_assert_eq!(world.changes, changes);
    }
}

/// The first is started first; it stands still from 20 s to 50 s.
fn pause() -> Weather {
    let machine =
        |offset, pauses: &[(Time, Time)]| Machine { offset, speed: 1000, pauses: pauses.to_vec(), ends: Vec::new() };
    let machines = vec![machine(0, &[(20_000, 30_000)]), machine(7_000_000, &[(0, 5000)])];
    Weather { machines, outages: Vec::new(), slow: Vec::new(), deaf: 0, seed: 7 }
}

#[test]
fn who_stands_still_is_followed_and_wakes_as_nobody() {
    let mut world = World::new(pause());
    let mut leaders = |until| world.run(until).map(|()| world.leaders());
    assert_eq!(leaders(19_000), Ok(vec![0]));
    // Over at 30 s at the latest, taken over before 40 s; the old one wakes at 50 s.
    assert_eq!(leaders(31_000), Ok(vec![]));
    assert_eq!(leaders(40_000), Ok(vec![1]));
    assert_eq!(leaders(100_000), Ok(vec![1]));
    assert_eq!(world.processes[0].life, 1);
}

/// The simulation can tell: times that the options refuse make two leaders of the same pause.
#[test]
fn a_deadline_behind_the_end_of_the_lease_makes_two_leaders() {
    let timing = Timing { renew_deadline: Duration::from_mins(1), ..Timing::default() };
    assert!(World::with(timing, pause()).run(100_000).unwrap_err().contains("two leaders"));
}
