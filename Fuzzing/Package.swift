// swift-tools-version: 6.0
import PackageDescription

// Fuzz targets. `./run` builds them with libFuzzer; see there.
let package = Package(
  name: "Fuzzing",
  dependencies: [.package(name: "nnverify", path: "..")],
  targets: [
    .executableTarget(
      name: "ReaderFuzzer",
      dependencies: ["Explanations", "FileFormats", "IR", "Importers", "Inputs", "Language", "SMT", "Specifications"].map {
        .product(name: $0, package: "nnverify")
      })
  ],
  swiftLanguageModes: [.v6]
)
