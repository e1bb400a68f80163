//! `peerway capture`: the packets of an interface with their verdicts, or what is sent between hosts, shown or written; and the keys to
//! decrypt the latter, if the operator insists.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use agent::{
    Answer, CaptureFormat, CaptureOrder, CaptureSummary, CaptureTarget, ESP_KEYS_LIFE, Question, Stopper, Stream,
};
use anyhow::{Context, bail};

use crate::cli::{CaptureOptions, Target};
use crate::up::{self, End};
use crate::{agents, host};

pub fn run(options: &CaptureOptions) -> anyhow::Result<ExitCode> {
    let dirs = host::agent_dirs(options.data.as_deref())?;
    let dir = match options.target {
        Some(Target::Interface(_)) if options.host.is_some() || options.esp_keys.is_some() => {
            bail!("--host and --esp-keys go with `underlay`: an interface is where it is, and its packets are in clear")
        }
        Some(Target::Interface(interface)) => agents::plugging(&dirs, interface)?,
        Some(Target::Underlay) | None => agents::named(&dirs, options.host)?,
    };
    let interrupts = Interrupts::listen()?;
    // Keys first: the first packet may be the last of its association.
    let keys = options.esp_keys.as_deref().map(|path| KeyFile::open(dir, path, options.keep)).transpose()?;
    let captured = options.target.map(|target| Capture::open(dir, target, options)).transpose()?;
    let mut stoppers = Vec::new();
    stoppers.extend(keys.as_ref().map(|keys| keys.stream.try_clone()).transpose()?);
    stoppers.extend(captured.as_ref().map(|capture| capture.stream.stopper()).transpose()?);
    interrupts.stop_at_end(stoppers)?;
    let result = captured.map(Capture::follow).transpose();
    if let Some(keys) = keys {
        keys.end(options)?;
    }
    if let Some(CaptureSummary { frames, dropped }) = result? {
        say(&format!("{frames} packets; {dropped} more came faster than they were taken and are missing"));
    }
    Ok(ExitCode::SUCCESS)
}

/// To people, who may be gone.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Opens a stream of the agent's.
fn open(dir: &Path, question: &Question) -> anyhow::Result<Stream> {
    match Stream::open(dir, question) {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(Answer::Refused(why))) => bail!("{why}"),
        Ok(Err(_)) => bail!("the agent answered another question"),
        Err(error) => Err(host::explain_no_agent(error, dir)),
    }
}

fn summary(answer: Answer) -> anyhow::Result<CaptureSummary> {
    match answer {
        Answer::Captured(summary) => Ok(summary),
        Answer::Refused(why) => bail!("{why}"),
        _ => bail!("the agent answered another question"),
    }
}

/// A capture that runs.
struct Capture {
    stream: Stream,
    out: Box<dyn Write>,
}

impl Capture {
    fn open(dir: &Path, target: Target, options: &CaptureOptions) -> anyhow::Result<Capture> {
        let format = if options.write.is_some() { CaptureFormat::Pcapng } else { CaptureFormat::Lines };
        let (name, target) = match target {
            Target::Interface(id) => (id.to_string(), CaptureTarget::Interface(id)),
            Target::Underlay => ("the underlay".into(), CaptureTarget::Underlay),
        };
        let out: Box<dyn Write> = match options.write.as_deref() {
            None => Box::new(io::stdout()),
            Some(path) if path == Path::new("-") => Box::new(io::stdout()),
            // Packets are for nobody else's eyes.
            Some(path) => {
                let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
                Box::new(file.with_context(|| format!("cannot write {}", path.display()))?)
            }
        };
        let order = CaptureOrder { target, format, count: options.count, seconds: options.seconds };
        let stream = open(dir, &Question::Capture(order))?;
        say(&format!("capturing {name}; Ctrl-C ends it"));
        Ok(Capture { stream, out })
    }

    fn follow(self) -> anyhow::Result<CaptureSummary> {
        let Capture { stream, mut out } = self;
        let mut take = |bytes: &[u8]| {
            out.write_all(bytes)?;
            out.flush()
        };
        match stream.follow(&mut take) {
            Ok(answer) => summary(answer),
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(CaptureSummary::default()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                bail!(
                    "the capture broke off: the agent ended; what it had shown by then is there, and nothing after it"
                )
            }
            Err(error) => Err(error).context("the capture broke off"),
        }
    }
}

/// A file of keys that is being written; unless it is to be kept, it goes when this does, or at the end of its time.
struct KeyFile {
    stream: Stopper,
    writer: JoinHandle<anyhow::Result<CaptureSummary>>,
    /// Dropped on every way out.
    removed: Removing,
}

impl KeyFile {
    fn open(dir: &Path, path: &Path, keep: bool) -> anyhow::Result<KeyFile> {
        let stream = open(dir, &Question::EspKeys)?;
        let stopper = stream.stopper()?;
        // Never through somebody's link, and never with somebody's rights: it must be new.
        let file = File::options().create_new(true).write(true).mode(0o600).open(path);
        let mut file =
            file.with_context(|| format!("cannot make {}; the file of keys must not exist before", path.display()))?;
        let removed = Arc::new(Mutex::new(if keep { None } else { Some(Removed(path.to_owned())) }));
        let life = ESP_KEYS_LIFE.as_secs() / 60;
        let end = if keep { "stays until you delete it (--keep)" } else { "is removed when this command ends" };
        say(&format!(
            "WARNING: the keys of this host's links are being written to {}.\n\
             WARNING: whoever has that file reads everything that this host sends to others and receives from them.\n\
             WARNING: the file {end}; keys are written for {life} minutes at most.",
            path.display()
        ));
        let removed = Removing(removed);
        let at_end = removed.0.clone();
        let writer = std::thread::Builder::new().name("keys".into()).spawn(move || {
            let result = stream.follow(|bytes| file.write_all(bytes));
            // At the end of its time the file goes, even if the capture goes on.
            drop(at_end.lock().unwrap_or_else(PoisonError::into_inner).take());
            summary(result.context("the keys broke off")?)
        })?;
        Ok(KeyFile { stream: stopper, writer, removed })
    }

    /// Without a capture the keys have a time of their own.
    fn end(self, options: &CaptureOptions) -> anyhow::Result<()> {
        if options.target.is_some() {
            self.stream.stop();
        } else if let Some(seconds) = options.seconds {
            let stopper = self.stream.try_clone()?;
            std::thread::Builder::new().name("keys' end".into()).spawn(move || {
                std::thread::sleep(Duration::from_secs(seconds));
                stopper.stop();
            })?;
        }
        let result = self.writer.join();
        drop(self.removed);
        match result {
            Ok(result) => {
                say(&format!("{} keys were written", result?.frames));
                Ok(())
            }
            Err(_) => bail!("the thread that writes keys ended in a panic"),
        }
    }
}

/// Removes the file now, if that has not been done.
struct Removing(Arc<Mutex<Option<Removed>>>);

impl Drop for Removing {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A file that goes when this does.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            say(&format!("WARNING: the file of keys {} cannot be removed: {error}", self.0.display()));
        }
    }
}

/// Ctrl-C and its like, which end streams and let what was seen be written.
struct Interrupts {
    runtime: tokio::runtime::Runtime,
    end: End,
}

impl Interrupts {
    fn listen() -> anyhow::Result<Interrupts> {
        let runtime = up::runtime()?;
        let end = {
            let _inside = runtime.enter();
            End::listen()?
        };
        Ok(Interrupts { runtime, end })
    }

    fn stop_at_end(mut self, stoppers: Vec<Stopper>) -> io::Result<()> {
        let wait = move || {
            self.runtime.block_on(self.end.wait());
            stoppers.iter().for_each(Stopper::stop);
        };
        std::thread::Builder::new().name("interrupts".into()).spawn(wait).map(drop)
    }
}
