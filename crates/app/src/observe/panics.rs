//! The hook for panics of a server: where, never what. A message may repeat whatever was being handled.

use std::sync::Arc;

use super::exported::Exported;

/// Counts and logs every panic from now on, instead of printing its message.
pub fn install(exported: Arc<Exported>) {
    std::panic::set_hook(Box::new(move |panic| {
        exported.panics.with([]).add(1);
        let (file, line) = panic.location().map_or(("?", 0), |at| (at.file(), at.line()));
        let thread = std::thread::current();
        tracing::error!(
            file,
            line,
            thread = thread.name().unwrap_or("?"),
            "a task panicked: this is a defect"
        );
    }));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The hook of the process is put back, so that other tests fail as they would.
    #[test]
    fn a_panic_is_counted_and_told_without_its_message() {
        let (exported, written) = (Arc::new(Exported::new()), Written::default());
        let writer = written.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let before = std::panic::take_hook();
        install(Arc::clone(&exported));
        let panicked = std::thread::spawn(move || {
            tracing::subscriber::with_default(log, || panic!("farthing-canary-payload"));
        });
        assert!(panicked.join().is_err());
        std::panic::set_hook(before);
        assert!(exported.panics.with([]).get() >= 1);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("a task panicked") && text.contains("panics.rs"), "{text}");
        assert!(!text.contains("farthing-canary"), "{text}");
    }
}
