import Foundation

/// A command of the package, run as its users run it.
public struct Executable: Sendable {
  public struct Result: Sendable {
    public var status: Int32
    public var output: String
    public var errors: String
    public var seconds: Double
    /// Whether a signal ended the process.
    public var crashed: Bool
  }

  public var path: String

  /// The executable of that name beside the test runner.
  public init(_ name: String) {
    let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    path = URL(fileURLWithPath: runner).deletingLastPathComponent().appendingPathComponent(name).path
  }

  /// Runs the command in the project's folder and waits for its end.
  public func callAsFunction(_ arguments: String...) throws -> Result { try run(arguments) }

  public func run(_ arguments: [String]) throws -> Result {
    // Files instead of pipes: no output is too long for them.
    let folder = try TemporaryFolder()
    let out = folder.path("stdout")
    let err = folder.path("stderr")
    for file in [out, err] { _ = FileManager.default.createFile(atPath: file, contents: nil) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.currentDirectoryURL = SharedData.project
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: out))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: err))
    let start = ContinuousClock.now
    try process.run()
    process.waitUntilExit()
    return Result(
      status: process.terminationStatus,
      output: try String(contentsOfFile: out, encoding: .utf8),
      errors: try String(contentsOfFile: err, encoding: .utf8),
      seconds: (ContinuousClock.now - start) / .seconds(1),
      crashed: process.terminationReason == .uncaughtSignal)
  }
}

/// A folder that is removed with the object.
public final class TemporaryFolder: Sendable {
  public let url: URL

  public init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("nnverify-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  public func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  /// Writes a file and returns its path.
  public func write(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: path(name), atomically: true, encoding: .utf8)
    return path(name)
  }

  public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    try Data(bytes).write(to: url.appendingPathComponent(name))
    return path(name)
  }
}
