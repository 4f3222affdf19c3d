import Foundation

/// A process that runs a batch, so named that another one, started later with the same number, is not taken for it.
struct BatchProcess {
  /// Host, process number and the time the process started, separated by blanks.
  let text: String

  init(_ text: String) { self.text = text }

  static let current = BatchProcess(
    "\(host) \(getpid()) \(start(of: getpid()) ?? "0")")

  private static let host = ProcessInfo.processInfo.hostName.filter { $0 != " " }

  /// The 22nd field of /proc/PID/stat, clock ticks since the machine started; nil for a process that has ended.
  private static func start(of process: Int32) -> String? {
    guard let data = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return nil }
    // The second field, a name in parentheses, may hold anything; the third is the state.
    let fields = String(decoding: data, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 19, fields[0] != "Z" else { return nil }
    return String(fields[19])
  }

  /// Whether the process may still be running an instance that it began at a time (seconds since 1970). Of other
  /// machines only that time is known.
  func mayBeRunning(since: Double, limit: Double) -> Bool {
    let parts = text.split(separator: " ").map(String.init)
    guard parts.count == 3, let process = Int32(parts[1]) else { return false }
    if parts[0] == Self.host { return text != Self.current.text && Self.start(of: process) == parts[2] }
    return Date().timeIntervalSince1970 < since + limit + 60
  }
}
