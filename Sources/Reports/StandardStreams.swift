import Foundation

/// Standard output was closed or took no more: what was to be answered was not delivered.
public struct OutputLost: Error, Sendable, CustomStringConvertible {
  public var reason: String
  /// Whether the reader went away (`| head`), which is no failure of the command.
  public var isClosedPipe: Bool

  public init(errno code: Int32) {
    reason = String(cString: strerror(code))
    isClosedPipe = code == EPIPE
  }

  public var description: String { "standard output: \(reason)" }
}

/// Standard output, written at once so that a batch can be followed.
///
/// Foundation's own `FileHandle.write` ends the process when the stream is full or closed; these functions do not.
public enum StandardOutput {
  /// - Throws: `OutputLost` when the text could not be written whole.
  public static func write(_ text: String) throws {
    // What `print` holds back comes first.
    try flush()
    try writeAll(Array(text.utf8), to: STDOUT_FILENO)
  }

  /// Writes what `print` has held back.
  ///
  /// - Throws: `OutputLost` when it could not be written whole.
  public static func flush() throws {
    guard fflush(nil) == 0 else { throw OutputLost(errno: errno) }
  }
}

/// Standard output for long texts that come in small parts.
public struct BufferedOutput: TextOutputStream {
  private var buffer = ""
  private var failure: OutputLost?
  /// Bytes that are kept back.
  private static let capacity = 1 << 16

  public init() { buffer.reserveCapacity(Self.capacity) }

  public mutating func write(_ text: String) {
    buffer += text
    if buffer.utf8.count >= Self.capacity { flush() }
  }

  private mutating func flush() {
    // After a failure the rest has nowhere to go.
    if failure == nil {
      do {
        try StandardOutput.write(buffer)
      } catch {
        failure = error as? OutputLost
      }
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes what was kept back.
  ///
  /// - Throws: `OutputLost` when anything could not be written.
  public mutating func end() throws {
    flush()
    if let failure { throw failure }
  }
}

/// Standard error: messages and progress. There is nowhere to report that it is lost.
public enum StandardError {
  public static func write(_ text: String) { try? writeAll(Array(text.utf8), to: STDERR_FILENO) }
}

private func writeAll(_ bytes: [UInt8], to descriptor: Int32) throws {
  var rest = bytes[...]
  while !rest.isEmpty {
    let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if written >= 0 {
      rest = rest.dropFirst(written)
    } else if errno != EINTR {
      throw OutputLost(errno: errno)
    }
  }
}
