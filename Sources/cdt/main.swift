print("cdt")
