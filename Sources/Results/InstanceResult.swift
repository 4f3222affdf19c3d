/// What became of one instance.
public struct InstanceResult: Sendable, Equatable {
  public var key: Instance.Key
  /// `sat`, `unsat`, `unknown`, `timed-out` or `error`.
  public var verdict: String
  /// From the start of the process to its end.
  public var seconds: Double
  /// The time limit that was in force.
  public var limit: Double
  /// Why the verdict is unknown, or what went wrong; empty otherwise.
  public var reason: String
  /// The solver's whole answer as JSON; empty if there was none or it was not asked for.
  public var answer: String
  /// The folder of the instance list; empty if it is not known.
  public var folder: String

  public init(
    key: Instance.Key, verdict: String, seconds: Double, limit: Double, reason: String = "",
    answer: String = "", folder: String = ""
  ) {
    self.key = key
    self.verdict = verdict
    self.seconds = seconds
    self.limit = limit
    self.reason = reason
    self.answer = answer
    self.folder = folder
  }

  /// Whether the verdict is `sat` or `unsat`.
  public var isDecided: Bool { verdict == "sat" || verdict == "unsat" }
}
