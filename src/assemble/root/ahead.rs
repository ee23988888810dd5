//! Layers, unpacked to disk by several threads before they are wanted: [`Ahead`].

use super::OpenBlob;
use crate::event::CancellationToken;
use crate::layers::{Kind, LayersError, Path, Spool};
use crate::oci::Descriptor;
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, available_parallelism};

/// How many layers beyond the wanted ones are unpacked: enough that no thread idles, few enough that the disk holds
/// little more than one image.
const LAYERS_AHEAD: usize = 8;
/// Threads that unpack. More would wait for the one that writes.
const THREADS_MAX: usize = 8;

type Unpacked = Result<(Spool, Vec<(Path, Kind)>), LayersError>;

/// Layers in the order in which they are wanted.
pub(super) struct Ahead {
    layers: Vec<Descriptor>,
    open: OpenBlob,
    scratch: PathBuf,
    cancel: CancellationToken,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    /// Layers before this one may be begun.
    allowed: usize,
    done: Vec<Option<Unpacked>>,
    is_stopped: bool,
}

/// Lets the threads end, whatever happens to who waits for them.
pub(super) struct Stop<'a>(&'a Ahead);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.lock().is_stopped = true;
        self.0.changed.notify_all();
    }
}

impl Ahead {
    pub(super) fn new(layers: Vec<Descriptor>, open: OpenBlob, scratch: PathBuf, cancel: CancellationToken) -> Self {
        let done = layers.iter().map(|_| None).collect();
        Self {
            layers,
            open,
            scratch,
            cancel,
            state: Mutex::new(State {
                allowed: LAYERS_AHEAD,
                done,
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    /// Starts the threads; they end when all is unpacked, or when what is returned is dropped.
    pub(super) fn run<'scope, 'env: 'scope>(&'env self, scope: &'scope Scope<'scope, 'env>) -> Stop<'env> {
        let cores = available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(THREADS_MAX).min(self.layers.len()) {
            scope.spawn(|| while self.unpack_next() {});
        }
        Stop(self)
    }

    /// Waits for these layers. Each can be had once.
    pub(super) fn take(&self, wanted: Range<usize>) -> Vec<Unpacked> {
        let mut state = self.lock();
        state.allowed = state.allowed.max(wanted.end + LAYERS_AHEAD);
        self.changed.notify_all();
        let mut all = Vec::new();
        for number in wanted {
            loop {
                if let Some(unpacked) = state.done.get_mut(number).and_then(Option::take) {
                    all.push(unpacked);
                    break;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        all
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn unpack_next(&self) -> bool {
        let mut state = self.lock();
        while !state.is_stopped && state.next < self.layers.len() && state.next >= state.allowed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let number = state.next;
        let Some(layer) = self.layers.get(number).filter(|_| !state.is_stopped) else {
            return false;
        };
        state.next += 1;
        drop(state);
        let unpacked = self.unpack(layer);
        self.lock().done[number] = Some(unpacked);
        self.changed.notify_all();
        true
    }

    fn unpack(&self, layer: &Descriptor) -> Unpacked {
        let blob = (self.open)(layer).map_err(|source| LayersError::Layer {
            digest: layer.digest.clone(),
            source,
        })?;
        let blob = Stoppable {
            blob,
            cancel: &self.cancel,
        };
        Spool::read(blob, &layer.digest, &self.scratch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob that ends with an error when the user has cancelled.
struct Stoppable<'a> {
    blob: Box<dyn Read + Send>,
    cancel: &'a CancellationToken,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.cancel.is_cancelled() {
            true => Err(io::Error::other("cancelled")),
            false => self.blob.read(buffer),
        }
    }
}
