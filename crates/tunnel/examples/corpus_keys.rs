//! Writes the seeds of the fuzz target `keys` into `fuzz/corpus/keys`: `cargo run -p tunnel --example corpus_keys`.

#![expect(clippy::disallowed_methods, reason = "the corpus lies on disk")]

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/keys");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in tunnel::fuzz::seeds() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
