_base_ = "../../ablations/bccd/adamixer.py"
