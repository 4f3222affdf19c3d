import CommandSupport
import FileFormats
import Foundation
import OnnxFormat
import Reports
import Rigor
import Search
import Specifications
import Synchronization

/// Prints the verdict of `verify` and writes the files that were asked for.
final class VerdictOutput: Sendable {
  private let command: VerifyCommand
  private let supervisor: Supervisor
  private let progress: ProgressLine
  private let resultFile: OutputFile?
  /// Files of an assignment by the names of tensors.
  private let tensorFiles = Mutex<[String: OutputFile]>([:])

  /// - Throws: `FileError` if a file cannot be written.
  init(command: VerifyCommand, supervisor: Supervisor, progress: ProgressLine) throws {
    self.command = command
    self.supervisor = supervisor
    self.progress = progress
    resultFile = try OutputFile(command.result)
    if let folder = command.serialiseAssignments {
      do {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      } catch {
        throw FileError(file: folder, reason: "cannot be created")
      }
    }
  }

  /// Finds out before the search that a file cannot be written, or was read.
  ///
  /// - Throws: `FileError`.
  func checkFiles(_ query: Query) throws {
    try resultFile?.checkIsNoInput()
    guard let folder = command.serialiseAssignments else { return }
    for tensor in query.tensors {
      guard !tensor.name.hasPrefix("."), tensor.name == PathName.last(tensor.name),
        !tensor.name.utf8.contains(0)
      else {
        throw FileError(file: query.file, reason: "the name of tensor '\(tensor.name)' names no file")
      }
      let file = try OutputFile(folder + "/" + tensor.name + ".pb")
      tensorFiles.withLock { $0[tensor.name] = file }
    }
  }

  /// Prints a verdict, then writes the files: what is known is said even if they cannot be written.
  ///
  /// - Parameter query: nil if it was not read to its end.
  func deliver(_ verification: Verification, of query: Query?) throws {
    progress.clear()
    let report = VerificationReport(query: query, verification: verification, seconds: supervisor.elapsed)
    if command.json {
      try printJSON(report.json)
    } else {
      try StandardOutput.write(VisibleText.lines(report.text))
    }
    if command.verbose || (!verification.reason.isEmpty && !command.json) {
      let statistics = verification.statistics
      var line = verification.reason.isEmpty ? "" : verification.reason + "\n"
      if command.verbose {
        line +=
          "\(verification.method): \(statistics.subproblems) subproblems, \(statistics.candidates) candidates, "
        line += String(format: "%.3f s", report.seconds) + "\n"
      }
      StandardError.write(VisibleText.lines(line))
    }
    try resultFile?.write(report.resultFile)
    if let query, let witness = verification.witness { try serialise(witness, of: query) }
  }

  /// One `TensorProto` file per tensor.
  private func serialise(_ witness: Witness, of query: Query) throws {
    for tensor in query.tensors {
      var proto = Onnx_TensorProto()
      proto.name = tensor.name
      proto.dims = tensor.shape.map { Int64($0) }
      var data = Data()
      if tensor.type == .float32 {
        proto.dataType = 1
        for v in tensor.variables {
          withUnsafeBytes(of: witness.values[v].nearestFloat.bitPattern.littleEndian) {
            data.append(contentsOf: $0)
          }
        }
      } else {
        proto.dataType = 11
        for v in tensor.variables {
          withUnsafeBytes(of: witness.values[v].nearestDouble.bitPattern.littleEndian) {
            data.append(contentsOf: $0)
          }
        }
      }
      proto.rawData = data
      try tensorFiles.withLock { $0[tensor.name] }?.write(proto.serializedBytes() as [UInt8])
    }
  }
}
