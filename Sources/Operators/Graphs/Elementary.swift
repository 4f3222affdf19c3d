import Foundation

func cubeRoot(_ x: Double) -> Double { cbrt(x) }
func exponentialOf(_ x: Double) -> Double { exp(x) }
