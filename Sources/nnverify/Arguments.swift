import ArgumentParser
import Bounds
import Domains
import IR
import Inputs

extension BoundMethod: ExpressibleByArgument {}
extension SlopePolicy: ExpressibleByArgument {}
extension Arithmetic: ExpressibleByArgument {}
extension PerturbationNorm: ExpressibleByArgument {}

/// A list of names, separated by commas.
struct NameList: ExpressibleByArgument {
  var names: [String]

  init?(argument: String) {
    names = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if names.contains(where: \.isEmpty) { return nil }
  }
}

/// The perturbation size: a decimal or a quotient such as 2/255, of at least 0.
struct Radius: ExpressibleByArgument {
  /// As it was written.
  var text: String
  var number: DecimalNumber

  init?(argument: String) {
    guard let number = DecimalNumber(argument), number.lower >= 0 else { return nil }
    text = argument
    self.number = number
  }
}

/// Checks that many commands share.
enum Check {
  static let threads = 1...1024

  static func positive(_ value: Int?, _ option: String, limit: Int = Int(Int32.max)) throws {
    guard let value else { return }
    guard value >= 1, value <= limit else {
      throw ValidationError("\(option) must lie between 1 and \(limit)")
    }
  }
}
