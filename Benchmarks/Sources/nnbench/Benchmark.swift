import ArgumentParser
@_spi(Benchmarks) import Bounds
import Foundation
import GemmMeter
import Reports
import Tensors

/// The benchmarks.
@main
struct Benchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nnbench", abstract: "Measures speed.", subcommands: [Benchmark.self, GraphBenchmark.self],
    defaultSubcommand: Benchmark.self)
}

/// Times every bound method on networks of different kinds and prints a table.
struct Benchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bounds",
    abstract: "Times every bound method, all intermediate bounds included.",
    discussion: """
      Milliseconds are the least of several runs after one to warm up, each a whole call of Graph.bounds. Those of one \
      thread are processor time, so that other work on the machine hardly counts; those of two are time on the wall. \
      Compare figures of one table only.
      """)

  @Option(help: "Only networks whose names contain this.")
  var filter: String?

  @Option(help: "Only this method.")
  var method: String?

  @Option(help: "Least time to measure each cell for, in seconds.")
  var seconds: Double = 0.5

  @Option(help: "The folder of shared reference data.")
  var shared: String = ProcessInfo.processInfo.environment["NNVERIFY_SHARED"] ?? "../../shared"

  @Option(help: "The folder of the shipped networks.")
  var networks: String = "../networks"

  func run() throws {
    let methods: [BoundMethod] = [.ibp, .forward, .crownIBP, .forwardCrown, .crown, .alphaCrown, .best]
    let cases = try BenchmarkCase.all(
      shared: URL(fileURLWithPath: shared), networks: URL(fileURLWithPath: networks))
    // Before the first product: the clock counts one thread, so the product must run on one.
    useSingleThreadedBLAS()
    let peak = gemm_meter_peak(768, 40)
    print("one thread's dgemm at 768 x 768 x 768: \(String(format: "%.1f", peak * 1e-9)) GFlop/s")
    print("")
    fflush(nil)
    var table = TextTable([
      .init("network"), .init("method"), .init("1 thread, CPU ms", .right), .init("2 threads, ms", .right),
      .init("no account, CPU ms", .right), .init("account", .right), .init("time in dgemm", .right),
      .init("dgemm rate", .right),
    ])
    let progress = ProgressLine()
    for test in cases where filter.map({ test.name.contains($0) }) ?? true {
      for choice in methods where method.map({ $0 == choice.rawValue }) ?? true {
        progress.update("\(test.name), \(choice.rawValue)", isUrgent: true)
        table.append(try row(test, choice, peak))
      }
    }
    progress.clear()
    print(table.text)
    print("")
    print(
      """
      no account: one thread without the rounding account, which proves nothing; account: what the account adds.
      time in dgemm: the share of one thread's time spent in matrix products; dgemm rate: what these achieve of the rate above.
      """)
  }

  private func row(_ test: BenchmarkCase, _ method: BoundMethod, _ peak: Double) throws -> [String] {
    var options = BoundOptions(method: method)
    let one = try time(test, options, Self.processorTime)
    options.threads = 2
    let two = try time(test, options, Self.wallTime)
    options.threads = 1
    options.accountsForRounding = false
    let bare = try time(test, options, Self.processorTime)
    let milliseconds = { (x: Double) in String(format: x < 1e-2 ? "%.3f" : "%.1f", x * 1e3) }
    let percent = { (x: Double) in String(format: "%.0f %%", x * 100) }
    let share = one.products.seconds / one.least
    let rate = one.products.seconds > 0 ? one.products.operations / one.products.seconds / peak : 0
    return [
      test.name, method.rawValue, milliseconds(one.least), milliseconds(two.least), milliseconds(bare.least),
      percent(one.least / bare.least - 1), percent(share), one.products.calls > 0 ? percent(rate) : "-",
    ]
  }

  /// Seconds of processor time that the calling thread has used.
  private static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  private static func wallTime() -> Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }

  private func time(_ test: BenchmarkCase, _ options: BoundOptions, _ clock: () -> Double) throws -> (
    least: Double, products: gemm_meter_reading
  ) {
    _ = try test.graph.bounds(over: test.region, options)
    var least = Double.infinity
    var total = 0.0
    var products = gemm_meter_reading()
    repeat {
      gemm_meter_reset()
      let start = clock()
      _ = try test.graph.bounds(over: test.region, options)
      let elapsed = clock() - start
      total += elapsed
      if elapsed < least {
        least = elapsed
        products = gemm_meter_read()
      }
    } while total < seconds
    return (least, products)
  }
}
