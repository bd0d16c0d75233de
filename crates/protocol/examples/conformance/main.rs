//! The public conformance registry on standard input: one JSON request a line, one JSON answer a line.
//!
//! ```sh
//! echo '{"schema":1,"op":"base64url.encode","input":{"text":"hello"}}' | cargo run -p farthing-protocol --example conformance
//! ```

use std::io::{BufRead, Write};

mod answer;

fn main() -> std::io::Result<()> {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        // Bytes that are not UTF-8 are an answer, too: the replaced text is not the JSON that was meant.
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            writeln!(output, "{}", answer::line(&text))?;
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}
