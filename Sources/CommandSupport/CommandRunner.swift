import ArgumentParser
import FileFormats
import Foundation
import IR
import Limits
import Reports

/// The exit statuses of both commands.
public enum ExitStatus {
  /// An answer was printed, whatever it says.
  public static let success: Int32 = 0
  /// The command line makes no sense.
  public static let usage: Int32 = 1
  /// A file is missing, damaged, or does not fit the others.
  public static let badInput: Int32 = 2
  /// The network holds an operator, or a use of one, that the analysis does not support.
  public static let unsupported: Int32 = 3
  /// A check of the toolkit's own result failed.
  public static let failedCheck: Int32 = 4
}

/// Runs a command line: one clear message on standard error for whatever goes wrong, and the status that says what
/// kind it was.
public enum CommandRunner {
  /// Parses the process's arguments, runs the command they name and ends the process.
  public static func main(_ root: any ParsableCommand.Type) -> Never {
    prepareProcess()
    do {
      var command = try root.parseAsRoot()
      try command.run()
      // An answer that did not arrive is no success.
      try StandardOutput.flush()
      end(ExitStatus.success)
    } catch {
      end(report(error, of: root))
    }
  }

  /// Ends the process without the libraries' farewells: a thread that overran its time may still be inside one of them.
  private static func end(_ status: Int32) -> Never {
    fflush(nil)
    _exit(status)
  }

  private static func prepareProcess() {
    // What closed standard streams leave free would be given to the next file that is opened, and messages would end in
    // it. Opened for the other direction they stay useless.
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
    // Whoever started this process may have blocked them for itself.
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in StopSignals.all { sigaddset(&signals, number) }
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    // A reader that went away is an error of `write`, not the end.
    signal(SIGPIPE, SIG_IGN)
    // Whatever crashes ends at once: the runtime's handlers would write a backtrace for ten seconds. Who sets the
    // variable wants it.
    if getenv("SWIFT_BACKTRACE") == nil {
      for number in [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] { signal(number, SIG_DFL) }
    }
  }

  /// Prints what an error says and returns the exit status it stands for.
  static func report(_ error: any Error, of root: any ParsableCommand.Type) -> Int32 {
    if error is ExitCode || error is OutputLost { return report(error) }
    let status = root.exitCode(for: error)
    if status == .success {
      print(root.fullMessage(for: error))
      return ExitStatus.success
    }
    if status == .validationFailure {
      write(VisibleText.lines(root.fullMessage(for: error)))
      return ExitStatus.usage
    }
    return report(error)
  }

  /// The same for errors that are none of the command line.
  static func report(_ error: any Error) -> Int32 {
    if let code = error as? ExitCode { return code.rawValue }
    if let lost = error as? OutputLost {
      if lost.isClosedPipe { return ExitStatus.success }
      write("Error: \(lost)")
      return ExitStatus.failedCheck
    }
    write("Error: \(VisibleText.line(describe(error)))")
    switch error {
    case is UnsupportedOperator: return ExitStatus.unsupported
    case is FailedCheck: return ExitStatus.failedCheck
    default: return ExitStatus.badInput
    }
  }

  private static func describe(_ error: any Error) -> String {
    // Foundation's own errors describe themselves in a page.
    (error as? CocoaError)?.localizedDescription ?? "\(error)"
  }

  private static func write(_ message: String) {
    StandardError.write(message + "\n")
  }
}

/// Prints text for people; what acts on terminals is escaped.
public func print(_ text: String = "", terminator: String = "\n") {
  Swift.print(VisibleText.lines(text), terminator: terminator)
}

/// Writes a JSON document to standard output, on one line, part by part: the text is never in memory as a whole.
///
/// - Throws: `OutputLost` when it could not be written whole.
public func printJSON(_ value: JSONValue) throws {
  var output = BufferedOutput()
  value.write(to: &output)
  output.write("\n")
  try output.end()
}
