//! Calls to the demo's own cloud, and the lines that they equal.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::client::{Call, CallError, Reply, Side};

/// How long a change may take to be seen in both regions, and instances to run.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The API; lines are collected for the step being played.
pub struct Api {
    address: SocketAddr,
    lines: RefCell<Vec<String>>,
}

impl Api {
    pub fn new(address: SocketAddr) -> Api {
        Api { address, lines: RefCell::default() }
    }

    /// The lines since the last time.
    pub fn take_lines(&self) -> Vec<String> {
        self.lines.take()
    }

    pub fn note(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }

    /// # Errors
    /// [`CallError`].
    pub fn call(&self, side: Side, action: &'static str, parameters: &[(&str, &str)]) -> Result<Reply, CallError> {
        let call = Call::ec2(side, action, parameters);
        self.note(call.command_line());
        call.send(self.address)
    }

    /// Asks again and again until the answer is the one wanted; the last thing heard. One line.
    ///
    /// # Errors
    /// What `read` does not take for an answer.
    pub fn until(
        &self,
        call: &Call,
        wanted: &str,
        read: impl Fn(Result<Reply, CallError>) -> Result<String, CallError>,
    ) -> Result<String, CallError> {
        self.note(call.command_line());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = read(call.send(self.address))?;
            if heard == wanted || Instant::now() > deadline {
                return Ok(heard);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Moves the clocks of the cloud.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn advance_clock(&self, side: Side, duration: Duration) -> Result<(), CallError> {
        let call = Call::peerway(side, "AdvanceClock", &[("Seconds", &duration.as_secs().to_string())]);
        self.note(call.command_line());
        call.send(self.address).map(drop)
    }

    /// Waits until packets follow all that was said.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn settle(&self, side: Side) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = Call::peerway(side, "DescribeStatus", &[]).send(self.address)?;
            let in_force = status.texts("DescribeStatusResult/Hosts/*/InForce");
            if !in_force.is_empty() && in_force.iter().all(|text| text == "true") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the agent does not follow within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }
}
