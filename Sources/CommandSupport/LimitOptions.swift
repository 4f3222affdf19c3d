import ArgumentParser
import Foundation
import Limits

/// The limits that every command takes.
public struct LimitOptions: ParsableArguments, Sendable {
  @Option(
    help: ArgumentHelp(
      "The time limit; what is known by then is printed.", valueName: "seconds"))
  public var timeout: Double?

  @Option(
    help: ArgumentHelp(
      "The memory limit; what is known by then is printed (default: 80 % of the machine's).", valueName: "GB")
  )
  public var memory: Double?

  public init() {}

  public func validate() throws {
    try Self.check(timeout: timeout)
    try Self.check(memory: memory)
  }

  /// - Throws: `ValidationError` for what is no number of seconds.
  public static func check(timeout: Double?) throws {
    if let timeout, !(timeout > 0 && timeout <= 1e9) {
      throw ValidationError("--timeout must be a positive number of seconds, at most 1e9")
    }
  }

  /// - Throws: `ValidationError` for what is no amount of memory.
  public static func check(memory: Double?) throws {
    if let memory, !(memory > 0 && memory <= 1e9) {
      throw ValidationError("--memory must be a positive number of gigabytes, at most 1e9")
    }
  }

  /// The memory limit in bytes.
  public var memoryBytes: Int {
    memory.map { Int($0 * 1e9) } ?? Int(Double(ProcessMemory.available) * 0.8)
  }
}
