//! GStreamer, at arm's length: start-up, pipelines from descriptions, their bus.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::WorkerError;
use super::scale::Scale;

/// Starts GStreamer and adds the CMAF muxer and the scaler, once per process.
pub fn start() -> Result<(), WorkerError> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        gst::init()?;
        gstfmp4::plugin_register_static().map_err(|error| WorkerError::Pipeline(error.to_string()))?;
        gst::Element::register(None, "weirscale", gst::Rank::NONE, Scale::static_type())
            .map_err(|error| WorkerError::Pipeline(error.to_string()))?;
        *started = true;
    }
    Ok(())
}

/// How a pipeline ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All sinks have got the end of stream.
    EndOfStream,
    /// An element gave up.
    Error(String),
}

/// A running pipeline. Dropping it stops it, so it must not be dropped in one of its own callbacks.
pub struct Pipeline {
    pipeline: gst::Pipeline,
    ending: Arc<(Mutex<Option<Ending>>, Condvar)>,
}

impl Pipeline {
    /// Builds a pipeline, without starting it.
    pub fn new(description: &str) -> Result<Self, WorkerError> {
        let pipeline = gst::parse::launch(description)
            .map_err(|error| WorkerError::Pipeline(error.to_string()))?
            .downcast::<gst::Pipeline>()
            .map_err(|_| WorkerError::Pipeline("description is not of a pipeline".into()))?;
        let ending: Arc<(Mutex<Option<Ending>>, Condvar)> = Arc::default();
        if let Some(bus) = pipeline.bus() {
            let ending = ending.clone();
            // A sync handler needs no main loop and leaves nothing on the bus that could pile up.
            bus.set_sync_handler(move |_, message| {
                let end = match message.view() {
                    gst::MessageView::Error(error) => {
                        let source = message.src().map(|source| source.name().to_string()).unwrap_or_default();
                        Some(Ending::Error(format!("{source}: {}", error.error())))
                    }
                    gst::MessageView::Eos(_) => Some(Ending::EndOfStream),
                    _ => None,
                };
                if let Some(end) = end {
                    let mut ending_now = ending.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if !matches!(*ending_now, Some(Ending::Error(_))) {
                        *ending_now = Some(end);
                    }
                    ending.1.notify_all();
                }
                gst::BusSyncReply::Drop
            });
        }
        Ok(Self { pipeline, ending })
    }

    /// Starts it.
    pub fn play(&self) -> Result<(), WorkerError> {
        self.pipeline.set_state(gst::State::Playing).map_err(|error| WorkerError::Pipeline(error.to_string()))?;
        Ok(())
    }

    /// The element with a name of the description.
    pub fn element<T: IsA<gst::Element>>(&self, name: &str) -> Result<T, WorkerError> {
        self.pipeline
            .by_name(name)
            .and_then(|element| element.downcast::<T>().ok())
            .ok_or_else(|| WorkerError::Pipeline(format!("no element {name}")))
    }

    /// How it ended, once it has.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end until `deadline`.
    pub fn wait(&self, deadline: Instant) -> Option<Ending> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let guard = self.ending.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) =
            self.ending.1.wait_timeout_while(guard, left, |end| end.is_none()).unwrap_or_else(PoisonError::into_inner);
        guard.clone()
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "pipeline did not stop");
        }
        if let Some(bus) = self.pipeline.bus() {
            bus.unset_sync_handler();
        }
    }
}
