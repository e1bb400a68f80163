//! Writes the seeds of the fuzz target `esp` into `fuzz/corpus/esp`: `cargo run -p dataplane --example corpus_esp`.

#![expect(clippy::disallowed_methods, reason = "the corpus lies on disk")]

use std::fs;
use std::io;
use std::path::Path;

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/world/mod.rs"]
mod world;

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/esp");
    fs::create_dir_all(&folder)?;
    for (name, bytes) in world::fuzz::seeds() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
