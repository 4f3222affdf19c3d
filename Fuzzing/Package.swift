// swift-tools-version: 6.0
import PackageDescription

// Fuzz targets. `./run` builds them with libFuzzer; see there.
let package = Package(
  name: "Fuzzing",
  dependencies: [.package(name: "nnverify", path: "..")],
  targets: [
    .executableTarget(
      name: "OnnxFuzzer", dependencies: [.product(name: "Importers", package: "nnverify")])
  ],
  swiftLanguageModes: [.v6]
)
