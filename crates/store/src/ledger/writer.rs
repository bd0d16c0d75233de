//! The writer: one thread that owns the books. It takes whatever is queued, decides it in memory, and hands it to the disk as
//! one transaction ([`super::line`]); while that is written, it decides the next one.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use farthing_ledger::journal::Head;
use farthing_ledger::record::{Committed, Version, Work};
use farthing_ledger::store::StoreError;
use farthing_ledger::{
    Account, Command, Decision, Known, Memory, NewHold, Outcome, Step, Timestamp, TransferId,
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::batch::{Answer, Batch};
use super::line::{Line, Look};
use super::open;
use super::recover::Books;
use super::shelf::Shelf;
use super::sql::{self, Sql};

/// The most requests, and about the most steps and changes, and bytes of records, of one transaction. More would leave the disk
/// waiting for decisions, and then decisions for the disk.
const MAX_REQUESTS: usize = 512;
const MAX_STEPS: usize = farthing_ledger::store::MAX_STEPS;
const MAX_BYTES: usize = 32 << 20;

/// How long the writer waits for the callers of the last batch at a time, and how often. A sync of the disk takes several times
/// as long.
const PAUSE: Duration = Duration::from_micros(20);
const PAUSES: usize = 16;

/// How long the writer looks away from its queue at most while the disk is busy.
const GLANCE: Duration = Duration::from_micros(200);

/// Where an answer goes. Nobody may be waiting any more; what was asked happens all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of the writer.
pub(super) enum Request {
    Work { work: Work, reply: Reply<Committed> },
    Known { id: TransferId, reply: Reply<Option<Known>> },
    Due { now: Timestamp, limit: usize, reply: Reply<Vec<TransferId>> },
    Snapshot { reply: Reply<(Head, Vec<Account>)> },
}

pub(super) struct Writer {
    /// Sees what is durable. What is not, books and shelf have in memory.
    db: Connection,
    books: Books,
    shelf: Shelf,
    decision: Decision,
    /// For every entry of the decision, the commit that it belongs to.
    versions: Vec<Version>,
    /// What is decided and not handed to the disk.
    batch: Box<Batch>,
    line: Line,
    health: Health,
    /// How many were in the last batch.
    last: usize,
    /// Entries since the books last forgot the oldest ids.
    grown: usize,
    path: PathBuf,
}

/// Whether the writer can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    /// What is on disk could not be established: nothing more is decided.
    Lost,
}

impl Writer {
    /// A writer with the books of the file at `path`, which the disk at the other end of `line` owns.
    pub(super) fn new((books, shelf): (Books, Shelf), path: PathBuf, line: Line) -> Result<Self, Sql> {
        Ok(Self {
            db: open::reader(&path)?,
            books,
            shelf,
            decision: Decision::default(),
            versions: Vec::new(),
            batch: Box::default(),
            line,
            health: Health::Sound,
            last: 0,
            grown: 0,
            path,
        })
    }

    /// Runs until every sender is gone.
    pub(super) fn spawn(mut self, mut queue: mpsc::Receiver<Request>) -> std::io::Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("ledger-writer".to_owned());
        thread.spawn(move || {
            let mut requests = Vec::with_capacity(MAX_REQUESTS);
            while self.take(&mut queue, &mut requests) {
                for request in requests.drain(..) {
                    self.serve(request);
                }
                self.absorb();
                self.pass_on();
            }
        })
    }

    /// Takes what is queued. Waits for something only when nothing is decided that waits for the disk. False: nobody is left who
    /// could ask, and all is handed over.
    fn take(&mut self, queue: &mut mpsc::Receiver<Request>, requests: &mut Vec<Request>) -> bool {
        if self.batch.is_empty() && queue.blocking_recv_many(requests, MAX_REQUESTS) == 0 {
            return false;
        }
        take_more(queue, requests);
        if self.line.look() == Look::Idle {
            let expected = self.last.min(self.books.tuning.enough).saturating_sub(self.batch.answers.len());
            gather(queue, requests, expected);
        }
        true
    }

    /// Brings the batch to the disk. A small one, for which the disk would only wait, is written here: to wake another thread
    /// costs more than to decide a few requests at the same time.
    fn pass_on(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let is_enough = self.batch.answers.len() >= self.books.tuning.enough;
        match self.line.look() {
            Look::Failed => self.reopen(),
            Look::Idle if !is_enough => self.write_here(),
            Look::Busy if !is_enough => self.line.glance(GLANCE),
            Look::Idle | Look::Busy => self.put(),
        }
    }

    /// Decides one request; its answer waits for the disk, so that nobody sees what could still be lost.
    fn serve(&mut self, request: Request) {
        if self.batch.is_empty() {
            self.line.take_back(&mut self.batch);
        }
        if self.is_full() {
            self.absorb();
            self.put();
            self.line.wait_for_room();
        }
        if self.line.has_failed() {
            self.reopen();
        }
        if self.health == Health::Lost {
            return request.refuse();
        }
        let answer = match request {
            Request::Work { work, reply } => {
                self.batch.weight += work.steps.len() + work.records.len();
                Answer::Work(reply, self.decide(work))
            }
            Request::Known { id, reply } => Answer::Known(reply, self.known(id)),
            Request::Due { now, limit, reply } => Answer::Due(reply, self.books.engine.due(now, limit)),
            Request::Snapshot { reply } => Answer::Snapshot(reply),
        };
        self.batch.answers.push(answer);
    }

    fn is_full(&self) -> bool {
        self.batch.answers.len() >= MAX_REQUESTS
            || self.batch.weight >= MAX_STEPS
            || self.batch.size + self.shelf.unwritten_size() >= MAX_BYTES
    }

    /// Decides one work: what its records have to be, then its steps, then what becomes of the records. After an error nothing
    /// of it happened.
    fn decide(&mut self, work: Work) -> Result<Committed, StoreError> {
        let Work { now, steps, records } = work;
        let shelf = &mut self.shelf;
        shelf.fetch(&self.db, &records)?;
        if let Some(at) = shelf.conflict(&records) {
            return Ok(Committed::Conflict { at });
        }
        let records = shelf.work_out(records)?;
        self.load(&steps)?;
        let start = self.decision.outcomes.len();
        self.books.engine.decide(now, &steps, &mut self.decision);
        let outcomes = self.decision.outcomes[start..].to_vec();
        let is_refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(_)));
        let version = Version(self.shelf.version.0 + 1);
        let entries = self.decision.entries.len();
        let mut has_changed = entries > self.versions.len();
        if !is_refused {
            for (at, becomes) in records {
                has_changed |= self.shelf.change(at, becomes, version);
            }
        }
        if has_changed {
            self.versions.resize(entries, version);
            self.shelf.version = version;
        }
        if is_refused {
            return Ok(Committed::Refused { outcomes });
        }
        Ok(Committed::Applied { outcomes, version: self.shelf.version })
    }

    /// Gives the engine what the file knows about ids that it has forgotten.
    fn load(&mut self, steps: &[Step]) -> Result<(), Sql> {
        for step in steps {
            let ids = match &step.command {
                Command::Transfer(transfer) | Command::Hold(NewHold { transfer, .. }) => {
                    [Some(transfer.id), None]
                }
                Command::Post(post) => [Some(post.id), Some(post.hold)],
                Command::Void(void) => [Some(void.id), Some(void.hold)],
                Command::Expire(hold) => [Some(*hold), None],
                Command::DefineAsset(_) | Command::OpenAccount(_) | Command::CloseAccount(_) => [None, None],
            };
            for id in ids.into_iter().flatten() {
                if self.books.engine.memory(id) == Memory::Unsure
                    && let Some(known) = sql::known(&self.db, id)?
                {
                    self.books.engine.load(known).map_err(|error| Sql::Damaged(error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        match self.books.engine.memory(id) {
            Memory::Known => Ok(self.books.engine.known(id).copied()),
            Memory::New => Ok(None),
            Memory::Unsure => Ok(sql::known(&self.db, id)?),
        }
    }

    /// Puts what was decided into the batch.
    fn absorb(&mut self) {
        let decided = (self.decision.entries.as_slice(), self.versions.as_slice());
        let added = self.batch.add((&mut self.books, &mut self.shelf), decided);
        self.books.engine.commit();
        self.decision.clear();
        self.versions.clear();
        if let Err(error) = added {
            tracing::error!(%error, "the ledger contradicts itself; it is read again");
            self.reopen();
        }
    }

    fn write_here(&mut self) {
        self.count();
        self.line.write_here(&mut self.batch);
        self.forget();
    }

    /// Puts the batch down for the disk's thread.
    fn put(&mut self) {
        self.count();
        self.batch = self.line.put(std::mem::take(&mut self.batch));
        self.forget();
    }

    /// Notes what goes to the disk.
    fn count(&mut self) {
        self.last = self.batch.answers.len();
        self.grown += self.batch.entries.len();
    }

    /// Forgets the oldest ids and records, when there are too many.
    fn forget(&mut self) {
        let remembered = self.books.tuning.remembered;
        if self.grown <= remembered / 4 && !self.shelf.is_too_big() {
            return;
        }
        // What is forgotten is looked up in the file, so it has to be there.
        self.line.drain();
        if self.line.look() == Look::Idle {
            self.shelf.tidy();
            self.books.engine.forget(remembered);
            self.grown = 0;
        }
    }

    /// Forgets everything, and reads it back from the file. What is decided and not written is as if it had never been asked.
    fn reopen(&mut self) {
        self.line.drain();
        self.batch.refuse();
        self.line.take_back(&mut self.batch);
        self.batch.refuse();
        self.decision.clear();
        self.versions.clear();
        let read = self.line.reopen().and_then(|read| Ok((read, open::reader(&self.path)?)));
        match read {
            Ok(((books, shelf), db)) => (self.books, self.shelf, self.db) = (books, shelf, db),
            Err(error) => self.lose(&error),
        }
    }

    fn lose(&mut self, error: &Sql) {
        tracing::error!(%error, "the ledger is closed");
        self.health = Health::Lost;
    }
}

fn take_more(queue: &mut mpsc::Receiver<Request>, requests: &mut Vec<Request>) {
    while requests.len() < MAX_REQUESTS
        && let Ok(request) = queue.try_recv()
    {
        requests.push(request);
    }
}

/// Waits a moment for those who were answered with the last batch, as long as more of them come: callers who call again and
/// again would otherwise fall apart into a few who are written at once and many who wait for them, and each commit costs a
/// sync of the disk.
fn gather(queue: &mut mpsc::Receiver<Request>, requests: &mut Vec<Request>, expected: usize) {
    for _ in 0..PAUSES {
        let before = requests.len();
        if before >= expected {
            return;
        }
        std::thread::sleep(PAUSE);
        take_more(queue, requests);
        if requests.len() == before {
            return;
        }
    }
}

impl Request {
    /// Answers that the ledger is closed.
    fn refuse(self) {
        match self {
            Self::Work { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Known { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Due { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Snapshot { reply } => drop(reply.send(Err(StoreError::Closed))),
        }
    }
}
