// swift-tools-version: 6.0
import PackageDescription

/// Speed is measured here and never in a test.
let package = Package(
  name: "Benchmarks",
  dependencies: [
    .package(name: "nnverify", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    .target(name: "GemmMeter", linkerSettings: [.linkedLibrary("dl")]),
    .executableTarget(
      name: "nnbench",
      dependencies: [
        "GemmMeter",
        .product(name: "Bounds", package: "nnverify"),
        .product(name: "Explanations", package: "nnverify"),
        .product(name: "Importers", package: "nnverify"),
        .product(name: "Inputs", package: "nnverify"),
        .product(name: "Reports", package: "nnverify"),
        .product(name: "Tensors", package: "nnverify"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
